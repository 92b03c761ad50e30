"""The tables of what happened, the audit log and the events, and of the time that is believed."""

from tortoise import fields
from tortoise.models import Model

__all__ = [
    "AuditChainModel",
    "AuditRecordModel",
    "ClockModel",
    "EventLogModel",
    "EventModel",
]


class AuditRecordModel(Model):
    """A record of the audit log: `digest` is over `document` and the digest of the record before."""

    number: fields.Field[int] = fields.BigIntField(primary_key=True, generated=False)
    act: fields.Field[int] = fields.BigIntField(db_index=True)
    at = fields.DatetimeField()
    document = fields.TextField()
    digest = fields.CharField(max_length=64)

    class Meta(Model.Meta):
        """Its table."""

        table = "audit_records"
        table_description = "Audit log"


class AuditChainModel(Model):
    """The ends of the audit log: the record before the first one kept, and the last one. There is one row."""

    id = fields.IntField(primary_key=True, generated=False)
    tail_number: fields.Field[int] = fields.BigIntField()
    tail_digest = fields.CharField(max_length=64)
    head_number: fields.Field[int] = fields.BigIntField()
    head_digest = fields.CharField(max_length=64)

    class Meta(Model.Meta):
        """Its table."""

        table = "audit_chain"
        table_description = "Ends of the audit log"


class EventLogModel(Model):
    """The last event removed and the last one written; the one row is what writers queue up for."""

    id = fields.IntField(primary_key=True, generated=False)
    tail: fields.Field[int] = fields.BigIntField()
    head: fields.Field[int] = fields.BigIntField()

    class Meta(Model.Meta):
        """Its table."""

        table = "event_log"
        table_description = "The ends of the events"


class EventModel(Model):
    """An event: columns to decide who may see it, and its JSON without the id. `at` is milliseconds since 1970."""

    id = fields.BigIntField(primary_key=True, generated=False)
    batch: fields.Field[str] = fields.CharField(max_length=16)
    at = fields.BigIntField(db_index=True)
    type: fields.Field[str] = fields.CharField(max_length=32)
    host = fields.TextField()
    vm = fields.TextField()
    right = fields.TextField()
    caller = fields.TextField()
    document = fields.TextField()

    class Meta(Model.Meta):
        """Its table."""

        table = "events"
        table_description = "Events"


class ClockModel(Model):
    """The latest time that is believed. There is one row."""

    id = fields.IntField(primary_key=True, generated=False)
    believed_at = fields.DatetimeField()

    class Meta(Model.Meta):
        """Its table."""

        table = "clock"
        table_description = "The latest time that is believed"
