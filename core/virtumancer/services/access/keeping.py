"""Keeps the tokens: the administrator's first one, what other processes changed, and when each was used."""

import asyncio
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from virtumancer.config import Config, state_folder
from virtumancer.errors import UsageError, VirtumancerError
from virtumancer.services.access.access import EVERYTHING
from virtumancer.services.access.grants import Grant
from virtumancer.services.access.tokens import PREFIX, Caller, Tokens
from virtumancer.store.url import MEMORY, SQLiteTarget, parse_url

__all__ = ["AccessKeeper", "admin_token_file"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# A right that was withdrawn, or has expired, ends what lives by it within a second.
INTERVAL = 0.5
USES_INTERVAL = 60.0
SERVER = Caller("the server", EVERYTHING)


def admin_token_file(config: Config) -> Path:
    """Return where the administrator's token of this machine is kept: each database has its own."""
    if config.server.admin_token_file:
        return Path(config.server.admin_token_file).expanduser()
    target = parse_url(config.database.url)
    if isinstance(target, SQLiteTarget) and target.path != MEMORY:
        return Path(target.path).resolve().with_suffix(".admin-token")
    return state_folder() / "virtumancer.admin-token"


class AccessKeeper:
    """Runs for as long as the application is open. `shared` says that other processes change the same tokens."""

    def __init__(self, tokens: Tokens, admin_file: Path, *, shared: bool) -> None:
        self._tokens = tokens
        self._admin_file = admin_file
        self._shared = shared
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Read all tokens, and make the administrator's when its file is not there."""
        await self._tokens.load()
        token = await asyncio.to_thread(_read, self._admin_file)
        if token is None:
            await self._make_admin()
        elif not self._tokens.is_valid(token):
            log.warning(
                "the administrator's token is not valid for this database; remove its file and start again for a new "
                "one",
                file=str(self._admin_file),
            )
        self._task = asyncio.create_task(self._keep(), name="access")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Note what was not noted yet, and stop."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        try:
            await self._tokens.note_uses()
        except VirtumancerError as failure:
            log.warning("when tokens were used could not be written down", reason=failure.message)

    async def _make_admin(self) -> None:
        """Replace this machine's administrator token: whoever can remove its file can read the database too."""
        name = f"admin@{socket.gethostname()}"[:100]
        for old in self._tokens.infos():
            if (old.name, old.created_by) == (name, SERVER.actor):
                await self._tokens.revoke(old.id, SERVER)
        made = await self._tokens.create(name, (Grant(role="admin"),), None, SERVER)
        try:
            await asyncio.to_thread(_write, self._admin_file, made.token)
        except OSError as error:
            await self._tokens.revoke(made.info.id, SERVER)
            raise UsageError(
                f"the administrator's token cannot be written to {self._admin_file}: {error.strerror}; "
                "make its folder writable, or name another file with server.admin_token_file"
            ) from error
        log.info("the administrator's token was made", file=str(self._admin_file), token=f"{PREFIX}{made.info.id}_…")

    async def _keep(self) -> None:
        noted = time.monotonic()
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                if self._shared:
                    await self._tokens.load()
                if time.monotonic() - noted > USES_INTERVAL:
                    noted = time.monotonic()
                    await self._tokens.note_uses()
            except VirtumancerError as error:
                log.warning("the tokens could not be read", reason=error.message)
            self._tokens.tell()  # one may have expired


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the administrator's token cannot be read from {file}: {error}; remove the file for a new one"
        ) from error


def _write(file: Path, token: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(f"{token}\n")
