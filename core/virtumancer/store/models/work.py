"""The tables of work that outlives its request: processes, operations and idempotency keys."""

from tortoise import fields
from tortoise.models import Model

__all__ = [
    "IdempotencyKeyModel",
    "OperationModel",
    "OperationOutcomeModel",
    "ProcessModel",
]


class ProcessModel(Model):
    """A process that uses the database; `seen_at` moves while it lives. Kept only where several may."""

    id: fields.Field[str] = fields.CharField(max_length=32, primary_key=True)
    seen_at = fields.DatetimeField()

    class Meta(Model.Meta):
        """Its table."""

        table = "processes"
        table_description = "Processes that share this database"


class OperationModel(Model):
    """An operation: `owner` is the process that carries it out, `document` the JSON that clients get."""

    id: fields.Field[str] = fields.CharField(max_length=16, primary_key=True)
    owner: fields.Field[str] = fields.CharField(max_length=32)
    caller = fields.TextField()
    right = fields.TextField()
    action: fields.Field[str] = fields.CharField(max_length=63)
    state: fields.Field[str] = fields.CharField(max_length=16, db_index=True)
    host_id: fields.Field[str] = fields.CharField(max_length=63)
    vm_uuid: fields.Field[str] = fields.CharField(max_length=36)
    request_id: fields.Field[str] = fields.CharField(max_length=64, db_index=True)
    created_at = fields.DatetimeField(db_index=True)
    ended_at = fields.DatetimeField(null=True)
    document = fields.TextField()

    class Meta(Model.Meta):
        """Its table."""

        table = "operations"
        table_description = "Operations"


class OperationOutcomeModel(Model):
    """What became of one VM in an operation over many; `position` is its place in the list."""

    number = fields.IntField(primary_key=True)
    operation: fields.ForeignKeyRelation[OperationModel] = fields.ForeignKeyField(
        "core.OperationModel", to_field="id", related_name="outcomes", on_delete=fields.CASCADE
    )
    position = fields.IntField()
    document = fields.TextField()

    class Meta(Model.Meta):
        """Its table."""

        table = "operation_outcomes"
        table_description = "Outcomes of operations over many VMs"
        unique_together = (("operation", "position"),)


class IdempotencyKeyModel(Model):
    """An Idempotency-Key by the hash of caller and key, and what was answered; `status` is null until then."""

    digest: fields.Field[str] = fields.CharField(max_length=64, primary_key=True)
    caller: fields.Field[str] = fields.CharField(max_length=32, db_index=True)
    request: fields.Field[str] = fields.CharField(max_length=64)
    request_id: fields.Field[str] = fields.CharField(max_length=64)
    owner: fields.Field[str] = fields.CharField(max_length=32)
    look_at = fields.TextField()
    created_at = fields.DatetimeField(db_index=True)
    status = fields.IntField(null=True)
    headers = fields.TextField()
    body = fields.BinaryField(null=True)

    class Meta(Model.Meta):
        """Its table."""

        table = "idempotency_keys"
        table_description = "Idempotency keys and the answers they had"
