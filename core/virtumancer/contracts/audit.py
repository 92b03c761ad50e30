"""The audit log, as the API shows it: records of acts, each written twice."""

from enum import StrEnum

from msgspec import Struct

from virtumancer.contracts.status import Timestamp

__all__ = ["AuditPage", "AuditRecord", "RecordKind"]


class RecordKind(StrEnum):
    """What a record says of its act."""

    BEGUN = "begun"
    ENDED = "ended"
    INTERRUPTED = "interrupted"
    """Nobody wrote its end: the process that did it was killed, or lost its database."""


class AuditRecord(Struct, frozen=True, kw_only=True):
    """One record of the audit log."""

    number: int
    act: int
    """The number of the record that began the act."""
    at: Timestamp
    kind: RecordKind
    actor: str
    """Who: a token by name and id, a user, or `anonymous`."""
    address: str
    what: str
    """Method and route."""
    target: dict[str, str]
    """What stood in the places of the route, and what was known of it: `uri` of the host, `uuid` and `name` of the VM.

    Some acts say more at their end: the `key` that was made, the `operation`, `filter` and `count` of many.
    """
    request_id: str
    outcome: str = ""
    """`ok`, or the code of the error; empty at its begin."""
    duration: float | None = None
    """Seconds, at its end; null when nobody saw the end."""


class AuditPage(Struct, frozen=True, kw_only=True):
    """Some records, oldest first."""

    records: tuple[AuditRecord, ...]
    next: int | None
    """What to send as `after` to go on; null when this was the end of the log."""
