"""The first tables: hosts, their keys, their VMs."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the three tables."""

    initial = True

    operations = [
        ops.CreateModel(
            name="HostModel",
            fields=[
                ("number", fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("id", fields.CharField(unique=True, max_length=63)),
                ("uri", fields.TextField(unique=False)),
                ("disconnected", fields.BooleanField(default=False)),
                ("declared", fields.BooleanField(default=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "hosts",
                "app": "core",
                "pk_attr": "number",
                "table_description": "Hypervisor hosts",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="HostKeyModel",
            fields=[
                ("number", fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "host",
                    fields.ForeignKeyField(
                        "core.HostModel",
                        source_field="host_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="keys",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("address", fields.CharField(max_length=300)),
                ("type", fields.CharField(max_length=100)),
                ("fingerprint", fields.CharField(max_length=200)),
                ("public", fields.TextField(unique=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "host_keys",
                "app": "core",
                "unique_together": (("host", "address", "fingerprint"),),
                "pk_attr": "number",
                "table_description": "Pinned SSH host keys",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="VMModel",
            fields=[
                ("id", fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "host",
                    fields.ForeignKeyField(
                        "core.HostModel",
                        source_field="host_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="vms",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("uuid", fields.CharField(max_length=36)),
                ("name", fields.TextField(unique=False)),
                ("document", fields.TextField(unique=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "vms",
                "app": "core",
                "unique_together": (("host", "uuid"),),
                "pk_attr": "id",
                "table_description": "VMs as last seen",
            },
            bases=["Model"],
        ),
    ]
