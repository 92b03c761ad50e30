"""What the product remembers: the database, and one repository for each kind of thing in it."""

from virtumancer.store.audit import AuditRepository, ChainEnds, StoredRecord, digest_of
from virtumancer.store.awaited import AwaitedDatabase
from virtumancer.store.clock import ClockRepository
from virtumancer.store.database import Database
from virtumancer.store.events import EventPlace, EventSlice, EventsRepository, NewEvent, StoredEvent, stored_event
from virtumancer.store.hosts import HostsRepository, StoredHost
from virtumancer.store.idempotency import IdempotencyRepository, StoredKey
from virtumancer.store.metadata import MetadataRepository, StoredMetadata
from virtumancer.store.operations import OperationQuery, OperationsRepository, StoredOperation
from virtumancer.store.probe import StoreProbe
from virtumancer.store.processes import ProcessesRepository
from virtumancer.store.tickets import ConsoleTicketsRepository, StoredTicket
from virtumancer.store.tokens import StoredToken, TokensRepository
from virtumancer.store.unit import unit
from virtumancer.store.users import StoredUser, UserColumns, UsersRepository
from virtumancer.store.vms import StoredVM, VMIdentity, VMsRepository
from virtumancer.store.web_sessions import StoredWebSession, WebSessionsRepository

__all__ = [
    "AuditRepository",
    "AwaitedDatabase",
    "ChainEnds",
    "ClockRepository",
    "ConsoleTicketsRepository",
    "Database",
    "EventPlace",
    "EventSlice",
    "EventsRepository",
    "HostsRepository",
    "IdempotencyRepository",
    "MetadataRepository",
    "NewEvent",
    "OperationQuery",
    "OperationsRepository",
    "ProcessesRepository",
    "StoreProbe",
    "StoredEvent",
    "StoredHost",
    "StoredKey",
    "StoredMetadata",
    "StoredOperation",
    "StoredRecord",
    "StoredTicket",
    "StoredToken",
    "StoredUser",
    "StoredVM",
    "StoredWebSession",
    "TokensRepository",
    "UserColumns",
    "UsersRepository",
    "VMIdentity",
    "VMsRepository",
    "WebSessionsRepository",
    "digest_of",
    "stored_event",
    "unit",
]
