"""Users, by the hashes of their passwords."""

from datetime import datetime

from msgspec import Struct, structs
from tortoise.transactions import in_transaction

from virtumancer.store.database import Database
from virtumancer.store.models import UserModel

__all__ = ["StoredUser", "UsersRepository"]


class StoredUser(Struct, frozen=True, kw_only=True):
    """A user: `password` is a hash, set at `password_at`; `grants` a JSON document."""

    name: str
    password: str
    password_at: datetime
    grants: str
    created_at: datetime
    created_by: str


class UsersRepository:
    """Keeps users until they are removed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[StoredUser, ...]:
        """Return all users, by name."""
        return await self._database.unit(_list())

    async def add(self, user: StoredUser) -> bool:
        """Store a new user; False when there is one of this name."""
        return await self._database.unit(_add(user))

    async def replace(self, user: StoredUser) -> bool:
        """Replace password and grants of a user; says whether it was there."""
        return await self._database.unit(_replace(user))

    async def remove(self, name: str) -> bool:
        """Delete a user; says whether it was there."""
        return await self._database.unit(_remove(name))


async def _list() -> tuple[StoredUser, ...]:
    rows = await UserModel.all().order_by("name")
    return tuple([StoredUser(**{name: getattr(row, name) for name in StoredUser.__struct_fields__}) for row in rows])


async def _add(user: StoredUser) -> bool:
    async with in_transaction():
        if await UserModel.exists(name=user.name):
            return False
        await UserModel.create(**structs.asdict(user))
        return True


async def _replace(user: StoredUser) -> bool:
    changed = {"password": user.password, "password_at": user.password_at, "grants": user.grants}
    return await UserModel.filter(name=user.name).update(**changed) > 0


async def _remove(name: str) -> bool:
    return await UserModel.filter(name=name).delete() > 0
