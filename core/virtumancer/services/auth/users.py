"""Users: people who sign in with a name and a password."""

import asyncio
import re
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from virtumancer.contracts.access import UserInfo
from virtumancer.errors import Conflict, Forbidden, InvalidValue, NotFound
from virtumancer.services.auth.passwords import LONGEST, Passwords, check_password
from virtumancer.services.auth.permissions import Grant
from virtumancer.services.auth.principals import Permissions
from virtumancer.services.auth.tag_index import TagIndex
from virtumancer.services.auth.tokens import Principal, check_given
from virtumancer.store import StoredUser, UserColumns, UsersRepository

__all__ = ["USER_NAME", "UserInfo", "Users", "proof_of"]

USER_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
_GRANTS = msgspec.json.Decoder(tuple[Grant, ...])
# So often a change is tried that another process has forestalled.
TRIES = 5


class _Known(Struct, frozen=True):
    stored: StoredUser
    caller: Principal


class Users:
    """All users, in memory. Unless callers are `asked` none can be made; `tell` says that rights changed.

    Whoever gives or withdraws rights does so with those that they have when it is written down: `now` returns them.
    """

    def __init__(
        self,
        store: UsersRepository,
        passwords: Passwords,
        tags: TagIndex,
        tell: Callable[[], None],
        rights: Collection[str],
        *,
        now: Callable[[Principal], Principal],
        asked: bool,
    ) -> None:
        self._store = store
        self._tags = tags
        self._passwords = passwords
        self._tell = tell
        self._rights = rights
        self._now = now
        self._asked = asked
        self._known: dict[str, _Known] = {}
        # Memory follows the store in one order: what is read meanwhile brings back nothing that was withdrawn.
        self._lock = asyncio.Lock()

    def caller(self, name: str, since: datetime, proof: str) -> Principal | None:
        """Return what a user may do who signed in at this time with this proof; None when it does not count any more.

        Sessions of older versions have no proof: for those the time decides, which a clock that was wrong can spoil.
        """
        known = self._known.get(name)
        if known is None:
            return None
        counts = proof == proof_of(known.stored) if proof else known.stored.password_at <= since
        return known.caller if counts else None

    def knows(self, name: str) -> bool:
        """Whether there is such a user."""
        return name in self._known

    def infos(self) -> tuple[UserInfo, ...]:
        """Describe all users, by name."""
        return tuple(_info(self._known[name]) for name in sorted(self._known))

    def info(self, name: str) -> UserInfo:
        """Describe one user. Raises `NotFound`."""
        return _info(self._find(name))

    async def create(self, name: str, password: str, grants: tuple[Grant, ...], by: Principal) -> UserInfo:
        """Make a user who may do no more than `by`. Raises `InvalidValue`, `Forbidden`, `Conflict`."""
        self._require_asked()
        if not USER_NAME.fullmatch(name):
            raise InvalidValue("a name has 1 to 63 characters of a-z 0-9 . _ @ -", field="name")
        check_password(password, "password")
        check_given(grants, by, self._rights)
        hashed = await self._passwords.hash(password)
        now = datetime.now(UTC)
        stored = StoredUser(
            name=name, password=hashed, password_at=now, grants=_text(grants), created_at=now, created_by=by.actor
        )
        async with self._lock:
            check_given(grants, self._now(by), self._rights)
            if not await self._store.add(stored):
                raise Conflict(f"there is a user {name!r} already")
            self._note(stored)
            return self.info(name)

    async def change(
        self, name: str, grants: tuple[Grant, ...] | None, password: str | None, by: Principal
    ) -> UserInfo:
        """Give a user other grants, or another password, which ends their sessions.

        What is None stays, whoever changes it meanwhile. Raises `NotFound`, `Forbidden`, `Conflict`.
        """
        known = self._within(name, by)
        if grants is not None:
            check_given(grants, by, self._rights, known.caller.grants)
        wanted = UserColumns(grants=None if grants is None else _text(grants))
        if password is not None:
            wanted = structs.replace(await self._new_password(password, "password"), grants=wanted.grants)
        if wanted == UserColumns():
            return self.info(name)
        async with self._lock:
            for _ in range(TRIES):
                # The user may have got rights meanwhile that `by` does not have, or `by` may have lost some.
                by = self._now(by)
                known = self._within(name, by)
                if grants is not None:
                    check_given(grants, by, self._rights, known.caller.grants)
                seen = UserColumns(grants=known.stored.grants)
                if stored := await self._store.change(name, wanted, seen):
                    self._note(stored)
                    self._tell()
                    return self.info(name)
                await self._load()
        raise _forestalled(name)

    async def set_own(self, proved: StoredUser, password: str) -> None:
        """Set the password of who has just `fit` this user; their sessions end. Raises `InvalidValue`, `Conflict`."""
        wanted = await self._new_password(password, "new")
        async with self._lock:
            stored = await self._store.change(proved.name, wanted, UserColumns(password=proved.password))
            if stored is None:  # what was proved does not count any more
                raise Conflict("the password, or the user, was changed by somebody else meanwhile; sign in again")
            self._note(stored)
            self._tell()

    async def remove(self, name: str, by: Principal) -> None:
        """Remove a user; what lives by their rights ends. Raises `NotFound`, `Forbidden`, `Conflict`."""
        async with self._lock:
            for _ in range(TRIES):
                known = self._within(name, self._now(by))
                if await self._store.remove(name, UserColumns(grants=known.stored.grants)):
                    self._known.pop(name, None)
                    self._tell()
                    return
                await self._load()
        raise _forestalled(name)

    async def fit(self, name: str, password: str) -> StoredUser | None:
        """Return the user of this name if this is the password; it takes as long when there is no such user."""
        known = await self._store.find(name)
        if not await self._passwords.fit(known.password if known else None, password[: LONGEST + 1]):
            return None
        # Comparing takes a while; another process may have set another one.
        now = await self._store.find(name)
        return now if known and now and now.password == known.password else None

    async def load(self) -> None:
        """Bring the memory in step with the store, which other processes may have changed."""
        async with self._lock:
            await self._load()

    async def _load(self) -> None:
        stored = await self._store.list()
        before, self._known = self._known, {}
        for user in stored:
            old = before.get(user.name)
            self._known[user.name] = old if old and old.stored == user else self._prepared(user)
        if any(self._known.get(name) is not old for name, old in before.items()):
            self._tell()

    async def _new_password(self, password: str, field: str) -> UserColumns:
        check_password(password, field)
        return UserColumns(password=await self._passwords.hash(password), password_at=datetime.now(UTC))

    def _note(self, stored: StoredUser) -> None:
        self._known[stored.name] = self._prepared(stored)

    def grants(self) -> Iterator[Grant]:
        """Yield the grants of all users."""
        for known in self._known.values():
            yield from known.caller.grants

    def _prepared(self, stored: StoredUser) -> _Known:
        grants = _GRANTS.decode(stored.grants)
        access = Permissions(grants, self._tags)
        return _Known(stored, Principal(f"user {stored.name}", access, f"user:{stored.name}", None, grants))

    def _require_asked(self) -> None:
        if not self._asked:
            raise Conflict("nobody is asked who they are: start the server with --auth token first")

    def _find(self, name: str) -> _Known:
        try:
            return self._known[name]
        except KeyError:
            raise _not_found(name) from None

    def _within(self, name: str, by: Principal) -> _Known:
        """Find a user who may do no more than `by`."""
        self._require_asked()
        known = self._find(name)
        if not all(by.access.covers(grant) for grant in _GRANTS.decode(known.stored.grants)):
            raise Forbidden("this user has rights that you do not have; only who has them may change it")
        return known


def proof_of(user: StoredUser) -> str:
    """Return what a session keeps of the password that it began with; another password has another one."""
    return user.password_at.astimezone(UTC).isoformat()


def _info(known: _Known) -> UserInfo:
    stored = known.stored
    return UserInfo(
        name=stored.name,
        grants=known.caller.grants,
        created_at=stored.created_at,
        created_by=stored.created_by,
        password_at=stored.password_at,
    )


def _text(grants: tuple[Grant, ...]) -> str:
    return msgspec.json.encode(grants).decode()


def _not_found(name: str) -> NotFound:
    return NotFound(f"there is no user {name[:80]!r}")


def _forestalled(name: str) -> Conflict:
    return Conflict(f"user {name[:80]!r} is being changed by others; look at it, and try again")
