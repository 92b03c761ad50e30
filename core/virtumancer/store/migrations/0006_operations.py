"""Operations, the processes that carry them out, and idempotency keys."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the tables of operations and of idempotency keys."""

    initial = False
    dependencies = [("core", "0005_sign_in")]

    operations = [
        ops.CreateModel(
            name="ProcessModel",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=32)),
                ("seen_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "processes",
                "app": "core",
                "pk_attr": "id",
                "table_description": "Processes that share this database",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OperationModel",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=16)),
                ("owner", fields.CharField(max_length=32)),
                ("caller", fields.TextField(unique=False)),
                ("right", fields.TextField(unique=False)),
                ("action", fields.CharField(max_length=63)),
                ("state", fields.CharField(db_index=True, max_length=16)),
                ("host_id", fields.CharField(max_length=63)),
                ("vm_uuid", fields.CharField(max_length=36)),
                ("request_id", fields.CharField(db_index=True, max_length=64)),
                ("created_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ("ended_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("document", fields.TextField(unique=False)),
            ],
            options={
                "table": "operations",
                "app": "core",
                "pk_attr": "id",
                "table_description": "Operations",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OperationOutcomeModel",
            fields=[
                ("number", fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "operation",
                    fields.ForeignKeyField(
                        "core.OperationModel",
                        source_field="operation_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="outcomes",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("position", fields.IntField()),
                ("document", fields.TextField(unique=False)),
            ],
            options={
                "table": "operation_outcomes",
                "app": "core",
                "unique_together": (("operation", "position"),),
                "pk_attr": "number",
                "table_description": "Outcomes of operations over many VMs",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="IdempotencyKeyModel",
            fields=[
                ("digest", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("caller", fields.CharField(db_index=True, max_length=32)),
                ("request", fields.CharField(max_length=64)),
                ("request_id", fields.CharField(max_length=64)),
                ("owner", fields.CharField(max_length=32)),
                ("look_at", fields.TextField(unique=False)),
                ("created_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ("status", fields.IntField(null=True)),
                ("headers", fields.TextField(unique=False)),
                ("body", fields.BinaryField(null=True)),
            ],
            options={
                "table": "idempotency_keys",
                "app": "core",
                "pk_attr": "digest",
                "table_description": "Idempotency keys and the answers they had",
            },
            bases=["Model"],
        ),
    ]
