"""Console tickets, which are stored as hashes until they are used."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the table of tickets."""

    initial = False
    dependencies = [("core", "0001_initial")]

    operations = [
        ops.CreateModel(
            name="ConsoleTicketModel",
            fields=[
                ("digest", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                (
                    "host",
                    fields.ForeignKeyField(
                        "core.HostModel",
                        source_field="host_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="tickets",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("vm_uuid", fields.CharField(max_length=36)),
                ("kind", fields.CharField(max_length=32)),
                ("caller", fields.TextField(unique=False)),
                ("origin", fields.TextField(unique=False)),
                ("view_only", fields.BooleanField()),
                ("on_busy", fields.CharField(max_length=16)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "console_tickets",
                "app": "core",
                "pk_attr": "digest",
                "table_description": "Console tickets not used yet",
            },
            bases=["Model"],
        ),
    ]
