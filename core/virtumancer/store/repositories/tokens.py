"""API tokens, by their hashes."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, structs
from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.models import TokenModel

__all__ = ["StoredToken", "TokensRepository"]


class StoredToken(Struct, frozen=True, kw_only=True):
    """A token: `digest` is the hash of its secret, `grants` a JSON document."""

    id: str
    name: str
    digest: str
    grants: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    parent: str | None = None
    """The token that it was made with: it is withdrawn with it."""


class TokensRepository:
    """Keeps tokens until they are withdrawn. A row has several writers: each sets the column that is its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[StoredToken, ...]:
        """Return all tokens."""
        return await self._database.unit(_list())

    async def add(self, token: StoredToken) -> bool:
        """Store a new token; says whether its parent, if it has one, is still there."""
        return await self._database.unit(_add(token))

    async def set_grants(self, id: str, grants: str, seen: str) -> StoredToken | None:  # noqa: A002 - as the column is
        """Replace the grants of a token that still has those that were `seen`.

        Returns the token as it is now; None when it is not there, or has others.
        """
        return await self._database.unit(_set_grants(id, grants, seen))

    async def set_used(self, times: Mapping[str, datetime]) -> None:
        """Note when tokens were used."""
        await self._database.unit(_set_used(times))

    async def remove(self, id: str, seen: str) -> frozenset[str]:  # noqa: A002
        """Delete a token that still has the grants that were `seen`, those made with it, and those made with them.

        Returns the ids of all that were there; none when the token is not, or has other grants.
        """
        return await self._database.unit(_remove(id, seen))

    async def hand_over(self, id: str, to: str | None) -> None:  # noqa: A002
        """Delete a token, but none made with it: those count as made with this other one, or with none."""
        await self._database.unit(_hand_over(id, to))


async def _list() -> tuple[StoredToken, ...]:
    return tuple([_stored(row) for row in await TokenModel.all().order_by("created_at")])


async def _add(token: StoredToken) -> bool:
    async with in_transaction():
        # Locked, so that it is not removed meanwhile by another process, which would not see the new one.
        if token.parent and not await TokenModel.filter(id=token.parent).select_for_update():
            return False
        await TokenModel.create(**structs.asdict(token))
        return True


async def _set_grants(token_id: str, grants: str, seen: str) -> StoredToken | None:
    async with in_transaction():
        if not await TokenModel.filter(id=token_id, grants=seen).update(grants=grants):
            return None
        return _stored(await TokenModel.get(id=token_id))


async def _set_used(times: Mapping[str, datetime]) -> None:
    async with in_transaction():
        for token_id, at in times.items():
            await TokenModel.filter(id=token_id).update(last_used_at=at)


async def _remove(token_id: str, seen: str) -> frozenset[str]:
    removed = set[str]()
    async with in_transaction():
        ids = {row.id for row in await TokenModel.filter(id=token_id, grants=seen).select_for_update()}
        while ids:
            removed |= ids
            await TokenModel.filter(id__in=ids).delete()
            ids = {row.id for row in await TokenModel.filter(parent__in=ids).select_for_update()}
    return frozenset(removed)


async def _hand_over(token_id: str, to: str | None) -> None:
    async with in_transaction():
        await TokenModel.filter(parent=token_id).update(parent=to)
        await TokenModel.filter(id=token_id).delete()


def _stored(row: TokenModel) -> StoredToken:
    return StoredToken(**{name: getattr(row, name) for name in StoredToken.__struct_fields__})
