"""With which token a token was made."""

# ruff: noqa: RUF012 - Tortoise declares `operations` as it is

from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Adds the parent to tokens."""

    initial = False
    dependencies = [("core", "0010_clock")]

    operations = [
        ops.AddField(model_name="TokenModel", name="parent", field=fields.CharField(max_length=16, null=True)),
    ]
