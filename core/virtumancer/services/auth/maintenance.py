"""Keeps who may call: the administrator's first one, what other processes changed, and when each was used."""

import asyncio
import os
import socket
import time
from pathlib import Path

import structlog

from virtumancer.config import read_token
from virtumancer.errors import UsageError, VirtumancerError
from virtumancer.services.audit.log import AuditedAction, AuditLog
from virtumancer.services.auth.directory import PrincipalDirectory
from virtumancer.services.auth.permissions import Grant
from virtumancer.services.auth.principals import EVERYTHING
from virtumancer.services.auth.tokens import PREFIX, Principal
from virtumancer.services.runtime.periodic_task import PeriodicTask

__all__ = ["AuthMaintenance"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# A right that was withdrawn, or has expired, ends what lives by it within a second.
INTERVAL = 0.5
USES_INTERVAL = 60.0
SERVER = Principal("the server", EVERYTHING)


class AuthMaintenance(PeriodicTask):
    """Runs for as long as the application is open. `shared` says that other processes change the same tokens."""

    def __init__(self, callers: PrincipalDirectory, admin_file: Path, audit: AuditLog, *, shared: bool) -> None:
        self._callers = callers
        self._tokens = callers.tokens
        self._admin_file = admin_file
        self._audit = audit
        self._shared = shared
        self._noted = time.monotonic()
        super().__init__("access", self._look, INTERVAL, failing="who may call could not be read")

    async def _on_start(self) -> None:
        """Read who may call, and make the administrator's token when its file is not there."""
        await self._callers.load()
        token = await asyncio.to_thread(read_token, self._admin_file)
        if token is None:
            await self._make_admin()
        elif not self._tokens.is_valid(token):
            log.warning(
                "the administrator's token is not valid for this database; remove its file and start again for a new "
                "one",
                file=str(self._admin_file),
            )

    async def _on_stop(self) -> None:
        """Note what was not noted yet."""
        try:
            await self._tokens.note_uses()
        except VirtumancerError as failure:
            log.warning("when tokens were used could not be written down", reason=failure.message)

    async def sign_in_link(self) -> str:
        """Make a link that signs a browser in as this machine's administrator; empty when its token is not valid."""
        token = await asyncio.to_thread(read_token, self._admin_file)
        if token is None or not self._tokens.is_valid(token):
            return ""
        owner = self._tokens.authenticate(token)
        async with self._audit.recorded(_act("make a sign-in link", owner=owner.actor)):
            return (await self._callers.make_link(owner)).path

    async def _make_admin(self) -> None:
        """Replace this machine's administrator token: whoever can remove its file can read the database too."""
        name = f"admin@{socket.gethostname()}"[:100]
        async with self._audit.recorded(_act("make the administrator's token", token=name)):
            replaced = [old for old in self._tokens.infos() if (old.name, old.created_by) == (name, SERVER.actor)]
            made = await self._tokens.create(name, (Grant(role="admin"),), None, SERVER)
            for old in replaced:
                # Those that were made with it belong to people who did not lose theirs.
                await self._tokens.hand_over(old.id, made.info.id)
            try:
                await asyncio.to_thread(_write, self._admin_file, made.token)
            except OSError as error:
                await self._tokens.hand_over(made.info.id, None)
                raise UsageError(
                    f"the administrator's token cannot be written to {self._admin_file}: {error.strerror}; "
                    "make its folder writable, or name another file with server.admin_token_file"
                ) from error
        log.info("the administrator's token was made", file=str(self._admin_file), token=f"{PREFIX}{made.info.id}_…")

    async def _look(self) -> None:
        try:
            if self._shared:
                await self._callers.load()
            if time.monotonic() - self._noted > USES_INTERVAL:
                self._noted = time.monotonic()
                await self._tokens.note_uses()
        finally:
            self._tokens.tell()  # one may have expired


def _act(what: str, **target: str) -> AuditedAction:
    return AuditedAction(actor=SERVER.actor, address="", what=what, target=target)


def _write(file: Path, token: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(f"{token}\n")
