"""The tables of hosts, their keys and VMs, what people wrote about both, and console tickets."""

from tortoise import fields
from tortoise.models import Model

__all__ = [
    "ConsoleTicketModel",
    "HostKeyModel",
    "HostModel",
    "MetadataModel",
    "VMModel",
]


class HostModel(Model):
    """A host; `number` is the order of adding, `disconnected` the user's choice, `credentials` JSON of sealed ones."""

    number = fields.IntField(primary_key=True)
    id = fields.CharField(max_length=63, unique=True)
    uri = fields.TextField()
    disconnected = fields.BooleanField(default=False)
    declared = fields.BooleanField(default=False)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()
    credentials = fields.TextField(default="")

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


class MetadataModel(Model):
    """Title, notes and tags of a VM, or of a host where `vm_uuid` is empty. `tags` is JSON; no row hangs on another."""

    number = fields.IntField(primary_key=True)
    host_id: fields.Field[str] = fields.CharField(max_length=63)
    vm_uuid: fields.Field[str] = fields.CharField(max_length=36)
    title = fields.TextField()
    notes = fields.TextField()
    tags = fields.TextField()
    changed_at = fields.DatetimeField()
    changed_by = fields.TextField()
    revision: fields.Field[int] = fields.BigIntField(db_index=True)

    class Meta(Model.Meta):
        """Its table."""

        table = "metadata"
        table_description = "What people wrote down about hosts and VMs"
        unique_together = (("host_id", "vm_uuid"),)


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
