"""Idempotency keys: whose request of which content each stands for, and what was answered."""

from datetime import datetime

from msgspec import Struct, structs
from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.models import IdempotencyKeyModel

__all__ = ["IdempotencyRepository", "StoredKey"]


class StoredKey(Struct, frozen=True, kw_only=True):
    """A key: `digest` and `request` are hashes, `status` is None until there is an answer.

    `headers` is JSON; `body` is None for an answer that is not kept.
    """

    digest: str
    caller: str
    request: str
    request_id: str
    owner: str
    look_at: str
    created_at: datetime
    status: int | None = None
    headers: str = "{}"
    body: bytes | None = None


class IdempotencyRepository:
    """Keeps keys until they expire; of two that bring the same key, one has it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, key: StoredKey, expired: datetime, limit: int) -> StoredKey | datetime:
        """Store a new key and return it, or return the one that is there; an answered one from before `expired` is not.

        A caller who has `limit` keys already gets the time of the oldest one instead.
        """
        return await self._database.unit(_take(key, expired, limit))

    async def answer(self, key: StoredKey) -> None:
        """Store the answer of a key."""
        await self._database.unit(_answer(key))

    async def free(self, key: StoredKey) -> None:
        """Forget a key whose request has done nothing, unless another request has it by now."""
        await self._database.unit(_free(key))

    async def forget(self, before: datetime) -> int:
        """Delete the keys from before this time; returns how many."""
        return await self._database.unit(_forget(before))


async def _take(key: StoredKey, expired: datetime, limit: int) -> StoredKey | datetime:
    async with in_transaction():
        await IdempotencyKeyModel.filter(digest=key.digest, created_at__lt=expired).delete()
        row = await IdempotencyKeyModel.get_or_none(digest=key.digest)
        if row is not None:
            return _stored(row)
        own = IdempotencyKeyModel.filter(caller=key.caller, created_at__gte=expired)
        if await own.count() >= limit:
            oldest = await own.order_by("created_at").first()
            return oldest.created_at if oldest else key.created_at
        # In PostgreSQL another process may have come between: the row that is there then counts.
        await IdempotencyKeyModel.bulk_create([IdempotencyKeyModel(**structs.asdict(key))], ignore_conflicts=True)
        return _stored(await IdempotencyKeyModel.get(digest=key.digest))


async def _answer(key: StoredKey) -> None:
    rows = IdempotencyKeyModel.filter(digest=key.digest, request_id=key.request_id)
    await rows.update(status=key.status, headers=key.headers, body=key.body)


async def _free(key: StoredKey) -> None:
    await IdempotencyKeyModel.filter(digest=key.digest, request_id=key.request_id).delete()


async def _forget(before: datetime) -> int:
    return await IdempotencyKeyModel.filter(created_at__lt=before).delete()


def _stored(row: IdempotencyKeyModel) -> StoredKey:
    return StoredKey(**{name: getattr(row, name) for name in StoredKey.__struct_fields__})
