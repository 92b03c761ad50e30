"""Console tickets: each opens one session, once, within seconds, for one caller, VM, kind and origin."""

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused
from virtumancer.services.consoles.sessions import Viewer
from virtumancer.services.runtime.clock import wall_clock
from virtumancer.store import ConsoleTicketsRepository, StoredTicket

__all__ = ["ConsoleTickets"]

LIFETIME = timedelta(seconds=30)


class ConsoleTickets:
    """Gives tickets out and takes them back; only their hashes are stored."""

    def __init__(self, store: ConsoleTicketsRepository, now: Callable[[], datetime] = wall_clock) -> None:
        self._store = store
        self._now = now

    async def issue(
        self, host_id: str, vm_uuid: str, kind: str, viewer: Viewer, *, view_only: bool, on_busy: str
    ) -> tuple[str, datetime]:
        """Return a new ticket and when it expires."""
        secret = secrets.token_urlsafe(32)
        expires_at = datetime.now(UTC) + LIFETIME
        await self._store.add(
            StoredTicket(
                digest=digest_of(secret),
                host_id=host_id,
                vm_uuid=vm_uuid,
                kind=kind,
                caller=viewer.caller,
                origin=viewer.origin,
                view_only=view_only,
                on_busy=on_busy,
                expires_at=expires_at,
            ),
            self._now(),
        )
        return secret, expires_at

    async def find(self, secret: str) -> StoredTicket | None:
        """Return a ticket that can still be used; it stays usable."""
        return await self._store.find(digest_of(secret))

    async def redeem(self, secret: str, host_id: str, vm_uuid: str, kind: str, viewer: Viewer) -> StoredTicket:
        """Take a ticket that fits, for good. Raises `ConsoleRefused`, which does not say what did not fit."""
        ticket = await self._store.take(digest_of(secret), host_id, vm_uuid, kind, viewer.caller, viewer.origin)
        if ticket is None:
            raise ConsoleRefused(
                f"this ticket is not valid: it works once, for {LIFETIME.seconds} s, for the VM, console, user and "
                "page it was given to; ask for another",
                close_code=CloseCode.REFUSED,
            )
        return ticket


def digest_of(secret: str) -> str:
    """Return what is stored of a ticket."""
    return hashlib.sha256(secret.encode()).hexdigest()
