"""What people write down about hosts and VMs."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the table of metadata."""

    initial = False
    dependencies = [("core", "0006_operations")]

    operations = [
        ops.CreateModel(
            name="MetadataModel",
            fields=[
                ("number", fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("host_id", fields.CharField(max_length=63)),
                ("vm_uuid", fields.CharField(max_length=36)),
                ("title", fields.TextField(unique=False)),
                ("notes", fields.TextField(unique=False)),
                ("tags", fields.TextField(unique=False)),
                ("changed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("changed_by", fields.TextField(unique=False)),
                ("revision", fields.BigIntField(db_index=True)),
            ],
            options={
                "table": "metadata",
                "app": "core",
                "unique_together": (("host_id", "vm_uuid"),),
                "pk_attr": "number",
                "table_description": "What people wrote down about hosts and VMs",
            },
            bases=["Model"],
        ),
    ]
