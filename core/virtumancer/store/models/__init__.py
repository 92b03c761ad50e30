"""The tables, as Tortoise models; only the repositories see their objects.

Each names its `table_description`: else Tortoise takes the docstring, and a better sentence would need a migration.
"""

from virtumancer.store.models.access import TokenModel, UserModel, WebSessionModel
from virtumancer.store.models.hosts import ConsoleTicketModel, HostKeyModel, HostModel, MetadataModel, VMModel
from virtumancer.store.models.records import AuditChainModel, AuditRecordModel, ClockModel, EventLogModel, EventModel
from virtumancer.store.models.work import IdempotencyKeyModel, OperationModel, OperationOutcomeModel, ProcessModel

__all__ = [
    "AuditChainModel",
    "AuditRecordModel",
    "ClockModel",
    "ConsoleTicketModel",
    "EventLogModel",
    "EventModel",
    "HostKeyModel",
    "HostModel",
    "IdempotencyKeyModel",
    "MetadataModel",
    "OperationModel",
    "OperationOutcomeModel",
    "ProcessModel",
    "TokenModel",
    "UserModel",
    "VMModel",
    "WebSessionModel",
]
