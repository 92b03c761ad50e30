"""What the product remembers: the database, and one repository for each kind of thing in it."""

from virtumancer.store.engine.awaited import AwaitedDatabase
from virtumancer.store.engine.database import Database
from virtumancer.store.engine.engines import App
from virtumancer.store.engine.plugin_apps import PluginApps
from virtumancer.store.engine.unit import unit
from virtumancer.store.repositories.audit import AuditRepository, ChainEnds, StoredRecord, digest_of
from virtumancer.store.repositories.clock import ClockRepository
from virtumancer.store.repositories.events import (
    AppendedEvents,
    EventPlace,
    EventSlice,
    EventsRepository,
    NewEvent,
    StoredEvent,
    stored_event,
)
from virtumancer.store.repositories.hosts import HostsRepository, StoredHost
from virtumancer.store.repositories.idempotency import IdempotencyRepository, StoredKey
from virtumancer.store.repositories.metadata import MetadataRepository, StoredMetadata
from virtumancer.store.repositories.operations import OperationQuery, OperationsRepository, StoredOperation
from virtumancer.store.repositories.plugin_tables import drop_tables
from virtumancer.store.repositories.probe import StoreProbe
from virtumancer.store.repositories.processes import ProcessesRepository
from virtumancer.store.repositories.tickets import ConsoleTicketsRepository, StoredTicket
from virtumancer.store.repositories.tokens import StoredToken, TokensRepository
from virtumancer.store.repositories.users import StoredUser, UserColumns, UsersRepository
from virtumancer.store.repositories.vms import StoredVM, VMIdentity, VMsRepository
from virtumancer.store.repositories.web_sessions import StoredWebSession, WebSessionsRepository

__all__ = [
    "App",
    "AppendedEvents",
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
    "PluginApps",
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
    "drop_tables",
    "stored_event",
    "unit",
]
