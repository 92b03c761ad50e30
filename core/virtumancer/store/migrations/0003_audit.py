"""The audit log: records chained by their digests, and the ends of the chain."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the tables of the audit log."""

    initial = False
    dependencies = [("core", "0002_console_tickets")]

    operations = [
        ops.CreateModel(
            name="AuditRecordModel",
            fields=[
                ("number", fields.BigIntField(primary_key=True, unique=True, db_index=True, generated=False)),
                ("act", fields.BigIntField(db_index=True)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("document", fields.TextField(unique=False)),
                ("digest", fields.CharField(max_length=64)),
            ],
            options={
                "table": "audit_records",
                "app": "core",
                "pk_attr": "number",
                "table_description": "Audit log",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="AuditChainModel",
            fields=[
                ("id", fields.IntField(primary_key=True, unique=True, db_index=True, generated=False)),
                ("tail_number", fields.BigIntField()),
                ("tail_digest", fields.CharField(max_length=64)),
                ("head_number", fields.BigIntField()),
                ("head_digest", fields.CharField(max_length=64)),
            ],
            options={
                "table": "audit_chain",
                "app": "core",
                "pk_attr": "id",
                "table_description": "Ends of the audit log",
            },
            bases=["Model"],
        ),
    ]
