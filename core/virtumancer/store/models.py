"""The tables, as Tortoise models; only the repositories see their objects.

Each names its `table_description`: else Tortoise takes the docstring, and a better sentence would need a migration.
"""

from tortoise import fields
from tortoise.models import Model

__all__ = [
    "AuditChainModel",
    "AuditRecordModel",
    "ConsoleTicketModel",
    "HostKeyModel",
    "HostModel",
    "TokenModel",
    "VMModel",
]


class HostModel(Model):
    """A host; `number` is the order of adding, `disconnected` the user's choice."""

    number = fields.IntField(primary_key=True)
    id = fields.CharField(max_length=63, unique=True)
    uri = fields.TextField()
    disconnected = fields.BooleanField(default=False)
    declared = fields.BooleanField(default=False)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta(Model.Meta):
        """Its table."""

        table = "hosts"
        table_description = "Hypervisor hosts"


class HostKeyModel(Model):
    """An SSH host key that is pinned for one address of a host."""

    number = fields.IntField(primary_key=True)
    host: fields.ForeignKeyRelation[HostModel] = fields.ForeignKeyField(
        "core.HostModel", to_field="id", related_name="keys", on_delete=fields.CASCADE
    )
    address = fields.CharField(max_length=300)
    type = fields.CharField(max_length=100)
    fingerprint = fields.CharField(max_length=200)
    public = fields.TextField()
    created_at = fields.DatetimeField()

    class Meta(Model.Meta):
        """Its table."""

        table = "host_keys"
        table_description = "Pinned SSH host keys"
        unique_together = (("host", "address", "fingerprint"),)


class VMModel(Model):
    """A VM of a host as last seen; a rename keeps its row, `document` is the JSON that clients get."""

    id = fields.IntField(primary_key=True)
    host: fields.ForeignKeyRelation[HostModel] = fields.ForeignKeyField(
        "core.HostModel", to_field="id", related_name="vms", on_delete=fields.CASCADE
    )
    uuid = fields.CharField(max_length=36)
    name = fields.TextField()
    document = fields.TextField()
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta(Model.Meta):
        """Its table."""

        table = "vms"
        table_description = "VMs as last seen"
        unique_together = (("host", "uuid"),)


class ConsoleTicketModel(Model):
    """A console ticket that was not used yet; only its hash is here."""

    digest = fields.CharField(max_length=64, primary_key=True)
    host: fields.ForeignKeyRelation[HostModel] = fields.ForeignKeyField(
        "core.HostModel", to_field="id", related_name="tickets", on_delete=fields.CASCADE
    )
    vm_uuid = fields.CharField(max_length=36)
    kind = fields.CharField(max_length=32)
    caller = fields.TextField()
    origin = fields.TextField()
    view_only = fields.BooleanField()
    on_busy = fields.CharField(max_length=16)
    expires_at = fields.DatetimeField()

    class Meta(Model.Meta):
        """Its table."""

        table = "console_tickets"
        table_description = "Console tickets not used yet"


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


class TokenModel(Model):
    """An API token; only the hash of its secret is here. `grants` is JSON."""

    id: fields.Field[str] = fields.CharField(max_length=16, primary_key=True)
    name = fields.TextField()
    digest = fields.CharField(max_length=64)
    grants = fields.TextField()
    created_at = fields.DatetimeField()
    created_by = fields.TextField()
    expires_at = fields.DatetimeField(null=True)
    last_used_at = fields.DatetimeField(null=True)

    class Meta(Model.Meta):
        """Its table."""

        table = "tokens"
        table_description = "API tokens"
