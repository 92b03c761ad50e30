"""Sessions of browsers, and links that begin one: each has a secret of its own, stored as a hash."""

import asyncio
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct, structs

from virtumancer.contracts.access import NewLink, WebSessionInfo
from virtumancer.errors import Forbidden, NotFound, Unauthenticated
from virtumancer.services.auth.tokens import Principal, digest_of
from virtumancer.services.runtime.clock import wall_clock
from virtumancer.store import StoredWebSession, WebSessionsRepository

__all__ = ["NewLink", "NewWebSession", "WebSessions"]

LIFETIME = timedelta(hours=12)
LINK_LIFETIME = timedelta(minutes=10)
MAX_LINKS = 10
"""So many links of one owner are good at a time; another one ends the oldest."""

Owner = Callable[[StoredWebSession], Principal | None]
"""Returns what the owner of a session or link may do now."""


class NewWebSession(Struct, frozen=True):
    """A session that has just begun: `secret` is for its cookie, `actor` who it is."""

    secret: str
    actor: str
    expires_at: datetime


class WebSessions:
    """All sessions, in memory; what one may do is what its owner may do now."""

    def __init__(
        self,
        store: WebSessionsRepository,
        owner: Owner,
        tell: Callable[[], None],
        now: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._store = store
        self._now = now
        self._owner = owner
        self._tell = tell
        self._known: dict[str, StoredWebSession] = {}
        # Memory follows the store in one order: what is read meanwhile brings back no session that was ended.
        self._lock = asyncio.Lock()

    def authenticate(self, secret: str) -> Principal:
        """Return who has this session. Raises `Unauthenticated`."""
        caller = self._caller(self._find(secret, pending=False))
        if caller is None:
            raise _not_valid()
        return caller

    def caller(self, session_id: str) -> Principal | None:
        """Return what the owner of a session may do now; None when it has ended."""
        return self._caller(self._known.get(session_id))

    def link_owner(self, secret: str) -> Principal:
        """Return whom a link signs in. Raises `Unauthenticated`."""
        link = self._find(secret, pending=True)
        owner = self._owner(link)
        if owner is None:
            raise _not_valid()
        return owner

    async def make_link(self, owner: str) -> NewLink:
        """Make a link for the owner of this key; the oldest of too many ends."""
        secret, stored = _made(owner, LINK_LIFETIME, pending=True)
        await self._add(stored)
        await self._end_oldest_links(owner)
        return NewLink(f"/sign-in/#{secret}", stored.expires_at)

    async def follow_link(self, secret: str) -> NewWebSession:
        """Begin the session of a link, which works no second time. Raises `Unauthenticated`."""
        link = self._find(secret, pending=True)
        async with self._lock:
            taken = await self._store.take_link(link.id)
            self._known.pop(link.id, None)
        if not taken:
            raise _not_valid()
        return await self.begin(link.owner)

    async def begin(self, owner: str, identity: str = "", lifetime: timedelta = LIFETIME) -> NewWebSession:
        """Begin a session of the owner of this key. Raises `Unauthenticated` when they are gone."""
        secret, stored = _made(owner, lifetime, pending=False, identity=identity)
        caller = self._caller(stored)
        if caller is None:
            raise _not_valid()
        await self._add(stored)
        return NewWebSession(secret, caller.actor, caller.expires_at or stored.expires_at)

    async def end(self, session_id: str) -> None:
        """End a session, and what lives by it."""
        async with self._lock:
            await self._store.remove(session_id)
            self._known.pop(session_id, None)
        self._tell()

    def infos(self) -> tuple[WebSessionInfo, ...]:
        """Describe all sessions, oldest first."""
        found = ((stored, self._caller(stored)) for stored in self._known.values())
        infos = [
            WebSessionInfo(stored.id, caller.actor, stored.created_at, caller.expires_at or stored.expires_at)
            for stored, caller in found
            if caller
        ]
        return tuple(sorted(infos, key=lambda info: info.created_at))

    async def end_for(self, session_id: str, by: Principal) -> None:
        """End the session of somebody who may do no more than `by`. Raises `NotFound`, `Forbidden`."""
        caller = self.caller(session_id)
        if caller is None:
            raise NotFound(f"there is no session {session_id[:80]!r}")
        if not all(by.access.covers(grant) for grant in caller.grants):
            raise Forbidden("who has this session has rights that you do not have; only who has them may end it")
        await self.end(session_id)

    async def load(self) -> None:
        """Bring the memory in step with the store, which other processes may have changed."""
        async with self._lock:
            rows, now = await self._store.list(), datetime.now(UTC)
            before, self._known = self._known, {stored.id: stored for stored in rows if stored.expires_at > now}
        if before.keys() - self._known.keys():
            self._tell()

    async def _add(self, stored: StoredWebSession) -> None:
        async with self._lock:
            await self._store.add(stored, self._now())
            self._known[stored.id] = stored

    async def _end_oldest_links(self, owner: str) -> None:
        async with self._lock:
            links = [one for one in self._known.values() if one.pending and one.owner == owner]
            for link in sorted(links, key=lambda one: one.created_at)[:-MAX_LINKS]:
                await self._store.take_link(link.id)
                self._known.pop(link.id, None)

    def _find(self, secret: str, *, pending: bool) -> StoredWebSession:
        stored = self._known.get(secret.partition("_")[0])
        if stored is None or not hmac.compare_digest(digest_of(secret), stored.digest):
            raise _not_valid()
        if stored.pending is not pending or stored.expires_at <= datetime.now(UTC):
            raise _not_valid()
        return stored

    def _caller(self, stored: StoredWebSession | None) -> Principal | None:
        if stored is None or stored.pending or stored.expires_at <= datetime.now(UTC):
            return None
        owner = self._owner(stored)
        if owner is None:
            return None
        ends = stored.expires_at if owner.expires_at is None else min(owner.expires_at, stored.expires_at)
        return structs.replace(owner, key=f"web:{stored.id}", expires_at=ends)


def _made(owner: str, lifetime: timedelta, *, pending: bool, identity: str = "") -> tuple[str, StoredWebSession]:
    session_id, now = secrets.token_hex(8), datetime.now(UTC)
    secret = f"{session_id}_{secrets.token_urlsafe(32)}"
    return secret, StoredWebSession(
        id=session_id,
        digest=digest_of(secret),
        owner=owner,
        pending=pending,
        created_at=now,
        expires_at=now + lifetime,
        identity=identity,
    )


def _not_valid() -> Unauthenticated:
    return Unauthenticated("this session or link is not valid: it was used, has expired or was ended; sign in again")
