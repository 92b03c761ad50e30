"""What the product remembers: the database, and one repository for each kind of thing in it."""

from virtumancer.store.audit import AuditRepository, ChainEnds, StoredRecord, digest_of
from virtumancer.store.database import Database
from virtumancer.store.hosts import HostsRepository, StoredHost
from virtumancer.store.tickets import ConsoleTicketsRepository, StoredTicket
from virtumancer.store.tokens import StoredToken, TokensRepository
from virtumancer.store.unit import unit
from virtumancer.store.vms import VMsRepository

__all__ = [
    "AuditRepository",
    "ChainEnds",
    "ConsoleTicketsRepository",
    "Database",
    "HostsRepository",
    "StoredHost",
    "StoredRecord",
    "StoredTicket",
    "StoredToken",
    "TokensRepository",
    "VMsRepository",
    "digest_of",
    "unit",
]
