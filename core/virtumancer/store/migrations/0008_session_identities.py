"""What an OpenID provider said of whoever has a session."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Adds the identity to sessions."""

    initial = False
    dependencies = [("core", "0007_metadata")]

    operations = [
        ops.AddField(model_name="WebSessionModel", name="identity", field=fields.TextField(unique=False, default="")),
    ]
