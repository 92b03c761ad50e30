"""API tokens."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the table of API tokens."""

    initial = False
    dependencies = [("core", "0003_audit")]

    operations = [
        ops.CreateModel(
            name="TokenModel",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=16)),
                ("name", fields.TextField(unique=False)),
                ("digest", fields.CharField(max_length=64)),
                ("grants", fields.TextField(unique=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("created_by", fields.TextField(unique=False)),
                ("expires_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("last_used_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "tokens",
                "app": "core",
                "pk_attr": "id",
                "table_description": "API tokens",
            },
            bases=["Model"],
        ),
    ]
