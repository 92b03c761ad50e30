"""The tables of the first release."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops

from virtumancer.store.engine.create_models import CreateModels


class Migration(migrations.Migration):
    """Creates them all."""

    initial = True

    operations = [
        CreateModels(
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
                    ("credentials", fields.TextField(unique=False, default="")),
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
                    ("parent", fields.CharField(max_length=16, null=True)),
                ],
                options={
                    "table": "tokens",
                    "app": "core",
                    "pk_attr": "id",
                    "table_description": "API tokens",
                },
                bases=["Model"],
            ),
            ops.CreateModel(
                name="UserModel",
                fields=[
                    ("name", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=63)),
                    ("password", fields.TextField(unique=False)),
                    ("password_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                    ("grants", fields.TextField(unique=False)),
                    ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                    ("created_by", fields.TextField(unique=False)),
                ],
                options={
                    "table": "users",
                    "app": "core",
                    "pk_attr": "name",
                    "table_description": "Users with passwords",
                },
                bases=["Model"],
            ),
            ops.CreateModel(
                name="WebSessionModel",
                fields=[
                    ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=16)),
                    ("digest", fields.CharField(max_length=64)),
                    ("owner", fields.TextField(unique=False)),
                    ("pending", fields.BooleanField()),
                    ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                    ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                    ("identity", fields.TextField(unique=False, default="")),
                ],
                options={
                    "table": "web_sessions",
                    "app": "core",
                    "pk_attr": "id",
                    "table_description": "Sessions of browsers, and links that begin one",
                },
                bases=["Model"],
            ),
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
        ),
    ]
