"""Users with passwords, and the sessions of their browsers."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Creates the tables of users and web sessions."""

    initial = False
    dependencies = [("core", "0004_tokens")]

    operations = [
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
            options={"table": "users", "app": "core", "pk_attr": "name", "table_description": "Users with passwords"},
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
            ],
            options={
                "table": "web_sessions",
                "app": "core",
                "pk_attr": "id",
                "table_description": "Sessions of browsers, and links that begin one",
            },
            bases=["Model"],
        ),
    ]
