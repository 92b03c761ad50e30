"""Users: people who sign in with a name and a password."""

import re
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from virtumancer.contracts.access import UserInfo
from virtumancer.errors import Conflict, Forbidden, InvalidValue, NotFound
from virtumancer.services.access.access import Access
from virtumancer.services.access.grants import Grant
from virtumancer.services.access.passwords import LONGEST, Passwords, check_password
from virtumancer.services.access.tags import Tags
from virtumancer.services.access.tokens import Caller, check_given
from virtumancer.store import StoredUser, UsersRepository

__all__ = ["USER_NAME", "UserInfo", "Users"]

USER_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
_GRANTS = msgspec.json.Decoder(tuple[Grant, ...])


class _Known(Struct, frozen=True):
    stored: StoredUser
    caller: Caller


class Users:
    """All users, in memory. Unless callers are `asked` none can be made; `tell` says that rights changed."""

    def __init__(
        self,
        store: UsersRepository,
        passwords: Passwords,
        tags: Tags,
        tell: Callable[[], None],
        rights: Collection[str],
        *,
        asked: bool,
    ) -> None:
        self._store = store
        self._tags = tags
        self._passwords = passwords
        self._tell = tell
        self._rights = rights
        self._asked = asked
        self._known: dict[str, _Known] = {}

    def caller(self, name: str, since: datetime) -> Caller | None:
        """Return what a user may do who proved at this time who they are; None when that does not count any more."""
        known = self._known.get(name)
        return None if known is None or known.stored.password_at > since else known.caller

    def knows(self, name: str) -> bool:
        """Whether there is such a user."""
        return name in self._known

    def infos(self) -> tuple[UserInfo, ...]:
        """Describe all users, by name."""
        return tuple(_info(self._known[name]) for name in sorted(self._known))

    def info(self, name: str) -> UserInfo:
        """Describe one user. Raises `NotFound`."""
        return _info(self._find(name))

    async def create(self, name: str, password: str, grants: tuple[Grant, ...], by: Caller) -> UserInfo:
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
        if not await self._store.add(stored):
            raise Conflict(f"there is a user {name!r} already")
        self._known[name] = self._prepared(stored)
        return self.info(name)

    async def change(self, name: str, grants: tuple[Grant, ...] | None, password: str | None, by: Caller) -> UserInfo:
        """Give a user other grants, or another password, which ends their sessions. Raises `NotFound`, `Forbidden`."""
        stored = self._within(name, by).stored
        if grants is not None:
            check_given(grants, by, self._rights, _GRANTS.decode(stored.grants))
            stored = structs.replace(stored, grants=_text(grants))
        if password is not None:
            check_password(password, "password")
            hashed = await self._passwords.hash(password)
            stored = structs.replace(stored, password=hashed, password_at=datetime.now(UTC))
        await self._replace(stored)
        return self.info(name)

    async def set_own(self, name: str, password: str) -> None:
        """Set the password of who has just proved to be this user; their sessions end. Raises `InvalidValue`."""
        check_password(password, "new")
        hashed = await self._passwords.hash(password)
        await self._replace(structs.replace(self._find(name).stored, password=hashed, password_at=datetime.now(UTC)))

    async def remove(self, name: str, by: Caller) -> None:
        """Remove a user; what lives by their rights ends. Raises `NotFound`, `Forbidden`."""
        self._within(name, by)
        if not await self._store.remove(name):
            raise _not_found(name)
        self._known.pop(name, None)
        self._tell()

    async def fit(self, name: str, password: str) -> bool:
        """Say whether this is the password of this user; it takes as long when there is no such user."""
        known = self._known.get(name)
        return await self._passwords.fit(known.stored.password if known else None, password[: LONGEST + 1])

    async def load(self) -> None:
        """Bring the memory in step with the store, which other processes may have changed."""
        before = self._known
        self._known = {}
        for stored in await self._store.list():
            old = before.get(stored.name)
            self._known[stored.name] = old if old and old.stored == stored else self._prepared(stored)
        if any(self._known.get(name) is not old for name, old in before.items()):
            self._tell()

    async def _replace(self, stored: StoredUser) -> None:
        if not await self._store.replace(stored):
            raise _not_found(stored.name)
        self._known[stored.name] = self._prepared(stored)
        self._tell()

    def grants(self) -> Iterator[Grant]:
        """Yield the grants of all users."""
        for known in self._known.values():
            yield from known.caller.grants

    def _prepared(self, stored: StoredUser) -> _Known:
        grants = _GRANTS.decode(stored.grants)
        access = Access(grants, self._tags)
        return _Known(stored, Caller(f"user {stored.name}", access, f"user:{stored.name}", None, grants))

    def _require_asked(self) -> None:
        if not self._asked:
            raise Conflict("nobody is asked who they are: start the server with --auth token first")

    def _find(self, name: str) -> _Known:
        try:
            return self._known[name]
        except KeyError:
            raise _not_found(name) from None

    def _within(self, name: str, by: Caller) -> _Known:
        """Find a user who may do no more than `by`."""
        self._require_asked()
        known = self._find(name)
        if not all(by.access.covers(grant) for grant in _GRANTS.decode(known.stored.grants)):
            raise Forbidden("this user has rights that you do not have; only who has them may change it")
        return known


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
