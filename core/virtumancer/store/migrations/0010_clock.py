"""The time that is believed."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the table of the clock."""

    initial = False
    dependencies = [("core", "0009_events")]

    operations = [
        ops.CreateModel(
            name="ClockModel",
            fields=[
                ("id", fields.IntField(primary_key=True, unique=True, db_index=True, generated=False)),
                ("believed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "clock",
                "app": "core",
                "pk_attr": "id",
                "table_description": "The latest time that is believed",
            },
            bases=["Model"],
        ),
    ]
