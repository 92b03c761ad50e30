"""API tokens: given out once, stored as a hash, known in memory, withdrawn at once."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime

import msgspec
import structlog
from msgspec import Struct, structs

from virtumancer.contracts.access import NewToken, TokenInfo
from virtumancer.errors import Conflict, Forbidden, InvalidValue, NotFound, Unauthenticated
from virtumancer.services.auth.permissions import Grant, check, rights_of
from virtumancer.services.auth.principals import Permissions
from virtumancer.services.auth.tag_index import TagIndex
from virtumancer.services.runtime.signals import Signal
from virtumancer.store import StoredToken, TokensRepository

__all__ = ["PREFIX", "NewToken", "Principal", "TokenInfo", "Tokens", "check_given", "digest_of"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

PREFIX = "vmt_"
NAME_LENGTH = 100
# So often a change is tried that another process has forestalled.
TRIES = 5
NEVER = datetime.max.replace(tzinfo=UTC)
_GRANTS = msgspec.json.Decoder(tuple[Grant, ...])


class Principal(Struct, frozen=True):
    """Who calls, and what they may do. `key` names whom the rights hang on; empty when nobody is asked."""

    actor: str
    access: Permissions
    key: str = ""
    expires_at: datetime | None = None
    grants: tuple[Grant, ...] = (Grant(role="admin"),)
    """What `access` was made of."""
    token: str = ""
    """The id of the token that the rights come from, also when a browser has them through a link; empty for others."""


class _Known(Struct):
    stored: StoredToken
    caller: Principal
    used_at: datetime | None = None


class Tokens:
    """All tokens; authentication asks only the memory, which follows every change of the store.

    `rights` are all there are. Unless tokens are `asked` for none can be made or changed: whoever could now would have
    it later. Whoever gives or withdraws rights does so with those that they have when it is written down: `now` returns
    them.
    """

    def __init__(
        self,
        store: TokensRepository,
        tags: TagIndex,
        rights: Collection[str],
        *,
        now: Callable[[Principal], Principal],
        asked: bool,
    ) -> None:
        self._store = store
        self._rights = rights
        self._tags = tags
        self._now = now
        self._asked = asked
        self._known: dict[str, _Known] = {}
        self._changed: Signal[[]] = Signal("rights")
        # Memory follows the store in one order: what is read meanwhile brings back nothing that was withdrawn.
        self._lock = asyncio.Lock()

    def authenticate(self, token: str) -> Principal:
        """Return who has this token. Raises `Unauthenticated`, which does not say what is wrong with it."""
        token_id, _, secret = token.removeprefix(PREFIX).partition("_")
        known, now = self._known.get(token_id), datetime.now(UTC)
        digest = digest_of(secret)
        ours = known is not None and hmac.compare_digest(digest, known.stored.digest)
        if known is None or not ours or (known.stored.expires_at or NEVER) <= now:
            raise Unauthenticated("this token is not valid: it is unknown, expired or withdrawn")
        known.used_at = now
        return known.caller

    def is_valid(self, token: str) -> bool:
        """Say whether somebody could call with this token."""
        try:
            self.authenticate(token)
        except Unauthenticated:
            return False
        return True

    def caller(self, key: str) -> Principal | None:
        """Return what a caller of this key may do now; None when the token is gone or has expired."""
        known = self._known.get(key)
        if known is None or (known.stored.expires_at or NEVER) <= datetime.now(UTC):
            return None
        return known.caller

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` whenever rights may have been withdrawn; returns the function that ends it."""
        return self._changed.subscribe(listener)

    def tell(self) -> None:
        """Call all listeners."""
        self._changed.emit()

    def infos(self) -> tuple[TokenInfo, ...]:
        """Describe all tokens, oldest first."""
        return tuple(_info(known) for known in sorted(self._known.values(), key=lambda known: known.stored.created_at))

    def info(self, token_id: str) -> TokenInfo:
        """Describe one token. Raises `NotFound`."""
        return _info(self._find(token_id))

    async def create(
        self, name: str, grants: tuple[Grant, ...], expires_at: datetime | None, by: Principal
    ) -> NewToken:
        """Make a token that may do no more than `by`. Raises `InvalidValue`, `Forbidden`, `Conflict`.

        One that is made with a token ends no later: it expires with it at the latest, and is withdrawn with it.
        Raises `Unauthenticated` when that has happened meanwhile.
        """
        self._require_asked()
        if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
            raise InvalidValue(f"a name has 1 to {NAME_LENGTH} printable characters", field="name")
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise InvalidValue("this time has passed", field="expires_at")
        token_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        async with self._lock:
            by = self._now(by)
            check_given(grants, by, self._rights)
            stored = StoredToken(
                id=token_id,
                name=name,
                digest=digest_of(secret),
                grants=msgspec.json.encode(grants).decode(),
                created_at=datetime.now(UTC),
                created_by=by.actor,
                expires_at=self._end_of(expires_at, by),
                parent=by.token or None,
            )
            if not await self._store.add(stored):
                raise Unauthenticated("the token that this one was made with has just been withdrawn")
            self._known[token_id] = self._prepared(stored)
        return NewToken(f"{PREFIX}{token_id}_{secret}", self.info(token_id))

    async def change(self, token_id: str, grants: tuple[Grant, ...], by: Principal) -> TokenInfo:
        """Give a token other grants; what lives by one that is gone ends.

        Raises `NotFound`, `Forbidden`, `Conflict`.
        """
        text = msgspec.json.encode(grants).decode()
        async with self._lock:
            for _ in range(TRIES):
                by = self._now(by)
                known = self._within(token_id, by)
                check_given(grants, by, self._rights, known.caller.grants)
                if stored := await self._store.set_grants(token_id, text, known.stored.grants):
                    self._known[token_id] = self._prepared(stored, known.used_at)
                    self.tell()
                    return self.info(token_id)
                await self._load()
        raise _forestalled(token_id)

    async def revoke(self, token_id: str, by: Principal) -> None:
        """Withdraw a token and those made with it; what lives by them ends.

        Raises `NotFound`, `Forbidden`, `Conflict`.
        """
        async with self._lock:
            for _ in range(TRIES):
                seen = self._within(token_id, self._now(by)).stored.grants
                if removed := await self._store.remove(token_id, seen):
                    for each in removed:
                        self._known.pop(each, None)
                    self.tell()
                    return
                await self._load()
        raise _forestalled(token_id)

    async def hand_over(self, token_id: str, to: str | None) -> None:
        """Withdraw a token, but none made with it: those hang on this other one from now on, or on none."""
        async with self._lock:
            await self._store.hand_over(token_id, to)
            self._known.pop(token_id, None)
            for known in self._known.values():
                if known.stored.parent == token_id:
                    known.stored = structs.replace(known.stored, parent=to)
            self.tell()

    async def load(self) -> None:
        """Bring the memory in step with the store, which other processes may have changed."""
        async with self._lock:
            await self._load()

    async def _load(self) -> None:
        rows = {stored.id: stored for stored in await self._store.list()}
        before, self._known = self._known, {}
        for token_id, stored in rows.items():
            old = before.get(token_id)
            if old and old.stored.grants == stored.grants:
                old.stored = stored  # another process may have noted a use
                self._known[token_id] = old
            else:
                self._known[token_id] = self._prepared(stored, old.used_at if old else None)
        if any(self._known.get(token_id) is not old for token_id, old in before.items()):
            self.tell()

    async def note_uses(self) -> None:
        """Store when tokens were last used."""
        used = {token_id: known for token_id, known in self._known.items() if known.used_at}
        times = {token_id: known.used_at for token_id, known in used.items() if known.used_at}
        if not times:
            return
        await self._store.set_used(times)
        for token_id, known in used.items():
            known.stored = structs.replace(known.stored, last_used_at=times[token_id])
            if known.used_at == times[token_id]:
                known.used_at = None

    def grants(self) -> Iterator[Grant]:
        """Yield the grants of all tokens."""
        for known in self._known.values():
            yield from known.caller.grants

    def _prepared(self, stored: StoredToken, used_at: datetime | None = None) -> _Known:
        grants = _GRANTS.decode(stored.grants)
        actor = f"token {stored.name} ({stored.id})"
        access = Permissions(grants, self._tags)
        return _Known(stored, Principal(actor, access, stored.id, stored.expires_at, grants, stored.id), used_at)

    def _end_of(self, wanted: datetime | None, by: Principal) -> datetime | None:
        """Return when a token ends that `by` makes. Raises `InvalidValue` for a time after the end of their own."""
        if not by.token:
            return wanted
        own = self._find(by.token).stored.expires_at
        if own is None or (wanted is not None and wanted <= own):
            return wanted
        if wanted is None:
            return own
        raise InvalidValue(
            f"the token that you use ends at {own.isoformat()}, and one made with it no later; leave this out to end "
            "with it",
            field="expires_at",
        )

    def _require_asked(self) -> None:
        if not self._asked:
            raise Conflict("nobody is asked for a token: start the server with --auth token first")

    def _find(self, token_id: str) -> _Known:
        try:
            return self._known[token_id]
        except KeyError:
            raise _not_found(token_id) from None

    def _within(self, token_id: str, by: Principal) -> _Known:
        """Find a token that may do no more than `by`."""
        self._require_asked()
        known = self._find(token_id)
        if not all(by.access.covers(grant) for grant in _GRANTS.decode(known.stored.grants)):
            raise Forbidden("this token has rights that you do not have; only who has them may change it")
        return known


def check_given(
    grants: tuple[Grant, ...], by: Principal, rights: Collection[str], before: tuple[Grant, ...] = ()
) -> None:
    """Raise `InvalidValue` for grants that cannot be, `Forbidden` for those that `by` does not have.

    `rights` are all there are. Those that somebody had `before` stay: their plugin may be away for a while.
    """
    check(grants, frozenset(rights).union(*(rights_of(grant) for grant in before)))
    if not all(by.access.covers(grant) for grant in grants):
        raise Forbidden("you can grant only rights that you have yourself")


def _info(known: _Known) -> TokenInfo:
    stored = known.stored
    return TokenInfo(
        id=stored.id,
        name=stored.name,
        grants=known.caller.grants,
        created_at=stored.created_at,
        created_by=stored.created_by,
        expires_at=stored.expires_at,
        last_used_at=known.used_at or stored.last_used_at,
        parent=stored.parent or "",
    )


def digest_of(secret: str) -> str:
    """Return what is stored of a secret; it is long and random, so that a fast hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _not_found(token_id: str) -> NotFound:
    return NotFound(f"there is no token {token_id[:80]!r}")


def _forestalled(token_id: str) -> Conflict:
    return Conflict(f"token {token_id[:80]!r} is being changed by others; look at it, and try again")
