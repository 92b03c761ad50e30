"""Users, by the hashes of their passwords."""

from datetime import datetime
from typing import Any

from msgspec import Struct, structs
from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.models import UserModel
from virtumancer.store.repositories.keys import may_be_key

__all__ = ["StoredUser", "UserColumns", "UsersRepository"]


class StoredUser(Struct, frozen=True, kw_only=True):
    """A user: `password` is a hash, set at `password_at`; `grants` a JSON document."""

    name: str
    password: str
    password_at: datetime
    grants: str
    created_at: datetime
    created_by: str


class UserColumns(Struct, frozen=True, kw_only=True):
    """Some columns of a user; what is None is none of them."""

    password: str | None = None
    password_at: datetime | None = None
    grants: str | None = None


class UsersRepository:
    """Keeps users until they are removed. A row has several writers: each names the columns that are its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[StoredUser, ...]:
        """Return all users, by name."""
        return await self._database.unit(_list())

    async def add(self, user: StoredUser) -> bool:
        """Store a new user; False when there is one of this name."""
        return await self._database.unit(_add(user))

    async def find(self, name: str) -> StoredUser | None:
        """Return one user."""
        return await self._database.unit(_find(name))

    async def change(self, name: str, wanted: UserColumns, seen: UserColumns) -> StoredUser | None:
        """Set columns of a user whose columns still are as they were `seen`, and no others.

        Returns the user as it is now; None when it is not there, or not as it was.
        """
        return await self._database.unit(_change(name, wanted, seen))

    async def remove(self, name: str, seen: UserColumns) -> bool:
        """Delete a user whose columns still are as they were `seen`; says whether that was so."""
        return await self._database.unit(_remove(name, seen))


async def _list() -> tuple[StoredUser, ...]:
    return tuple([_stored(row) for row in await UserModel.all().order_by("name")])


async def _add(user: StoredUser) -> bool:
    async with in_transaction():
        if await UserModel.exists(name=user.name):
            return False
        await UserModel.create(**structs.asdict(user))
        return True


async def _find(name: str) -> StoredUser | None:
    row = await UserModel.get_or_none(name=name) if may_be_key(name, 63) else None
    return None if row is None else _stored(row)


async def _change(name: str, wanted: UserColumns, seen: UserColumns) -> StoredUser | None:
    async with in_transaction():
        if not await UserModel.filter(name=name, **_given(seen)).update(**_given(wanted)):
            return None
        return _stored(await UserModel.get(name=name))


async def _remove(name: str, seen: UserColumns) -> bool:
    return await UserModel.filter(name=name, **_given(seen)).delete() > 0


def _given(columns: UserColumns) -> dict[str, Any]:
    return {name: value for name, value in structs.asdict(columns).items() if value is not None}


def _stored(row: UserModel) -> StoredUser:
    return StoredUser(**{name: getattr(row, name) for name in StoredUser.__struct_fields__})
