"""Reading the audit log: a page of it, or all of it as it comes, each time a bounded part."""

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
from msgspec import Struct

from virtumancer.contracts.audit import AuditPage, AuditRecord
from virtumancer.store import AuditRepository, StoredRecord

__all__ = ["AuditReader", "AuditWanted"]

# Records that are looked at for one page, however few of them are wanted.
MAX_LOOKED_AT = 5000
_RECORD = msgspec.json.Decoder(AuditRecord)


class AuditWanted(Struct, frozen=True, kw_only=True):
    """Which records are wanted; what is empty does not matter."""

    actor: str = ""
    """A part of the actor."""
    host: str = ""
    vm: str = ""
    outcome: str = ""
    since: datetime | None = None

    def fits(self, record: AuditRecord) -> bool:
        """Say whether this record is wanted; `since` is the store's to know."""
        return (
            self.actor in record.actor
            and self.host in {"", record.target.get("host")}
            and self.vm in {"", *(record.target.get(said) for said in ("vm", "uuid", "name"))}
            and self.outcome in {"", record.outcome}
        )


class AuditReader:
    """Reads what was written; for a page it looks at so many records at `most`."""

    def __init__(self, store: AuditRepository, *, most: int = MAX_LOOKED_AT) -> None:
        self._store = store
        self._most = most

    async def page(self, wanted: AuditWanted, after: int, limit: int) -> AuditPage:
        """Return the wanted records behind a number; fewer than there are when many others lie between."""
        found: list[AuditRecord] = []
        looked_at = 0
        async for stored in self._store.records(after, wanted.since):
            if len(found) == limit or looked_at == self._most:
                return AuditPage(records=tuple(found), next=after)
            after, looked_at = stored.number, looked_at + 1
            record = _RECORD.decode(stored.document)
            if wanted.fits(record):
                found.append(record)
        return AuditPage(records=tuple(found), next=None)

    async def lines(self, wanted: AuditWanted, after: int) -> AsyncIterator[bytes]:
        """Yield all wanted records as lines of JSON, some hundreds at a time: nothing at all for a part without any."""
        async for page in self._store.pages(after, wanted.since):
            yield "".join(f"{stored.document}\n" for stored in page if _fits(wanted, stored)).encode()


def _fits(wanted: AuditWanted, stored: StoredRecord) -> bool:
    return wanted.fits(_RECORD.decode(stored.document))
