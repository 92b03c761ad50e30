"""Events, and the ends of what is kept of them."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the tables of events."""

    initial = False
    dependencies = [("core", "0008_session_identities")]

    operations = [
        ops.CreateModel(
            name="EventLogModel",
            fields=[
                ("id", fields.IntField(primary_key=True, unique=True, db_index=True, generated=False)),
                ("tail", fields.BigIntField()),
                ("head", fields.BigIntField()),
            ],
            options={
                "table": "event_log",
                "app": "core",
                "pk_attr": "id",
                "table_description": "The ends of the events",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="EventModel",
            fields=[
                ("id", fields.BigIntField(primary_key=True, unique=True, db_index=True, generated=False)),
                ("batch", fields.CharField(max_length=16)),
                ("at", fields.BigIntField(db_index=True)),
                ("type", fields.CharField(max_length=32)),
                ("host", fields.TextField(unique=False)),
                ("vm", fields.TextField(unique=False)),
                ("right", fields.TextField(unique=False)),
                ("caller", fields.TextField(unique=False)),
                ("document", fields.TextField(unique=False)),
            ],
            options={
                "table": "events",
                "app": "core",
                "pk_attr": "id",
                "table_description": "Events",
            },
            bases=["Model"],
        ),
    ]
