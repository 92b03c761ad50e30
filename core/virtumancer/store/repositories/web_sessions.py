"""Sessions of browsers, and the links that begin one, by the hashes of their secrets."""

from datetime import datetime

from msgspec import Struct, structs
from tortoise.transactions import in_transaction

from virtumancer.store.engine.database import Database
from virtumancer.store.models import WebSessionModel

__all__ = ["StoredWebSession", "WebSessionsRepository"]


class StoredWebSession(Struct, frozen=True, kw_only=True):
    """A session of `owner`; while `pending` it is a link that nobody has followed yet.

    `identity` is what a provider said of them, or what was proved of the password; empty for who has a token.
    """

    id: str
    digest: str
    owner: str
    pending: bool
    created_at: datetime
    expires_at: datetime
    identity: str = ""


class WebSessionsRepository:
    """Keeps sessions until they end."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[StoredWebSession, ...]:
        """Return all sessions and links."""
        return await self._database.unit(_list())

    async def add(self, session: StoredWebSession, ended: datetime | None = None) -> None:
        """Store a new session or link, and forget those that have `ended` by then, else by when it begins."""
        await self._database.unit(_add(session, ended or session.created_at))

    async def take_link(self, id: str) -> bool:  # noqa: A002 - as the column is called
        """Delete a link; says whether it was there: only one caller is told so."""
        return await self._database.unit(_remove(id, pending=True))

    async def remove(self, id: str) -> None:  # noqa: A002
        """Delete a session."""
        await self._database.unit(_remove(id, pending=False))


async def _list() -> tuple[StoredWebSession, ...]:
    rows = await WebSessionModel.all()
    names = StoredWebSession.__struct_fields__
    return tuple([StoredWebSession(**{name: getattr(row, name) for name in names}) for row in rows])


async def _add(session: StoredWebSession, ended: datetime) -> None:
    async with in_transaction():
        await WebSessionModel.filter(expires_at__lte=ended).delete()
        await WebSessionModel.create(**structs.asdict(session))


async def _remove(session_id: str, *, pending: bool) -> bool:
    return await WebSessionModel.filter(id=session_id, pending=pending).delete() > 0
