"""The tables of who may call: tokens, users and the sessions of browsers."""

from tortoise import fields
from tortoise.models import Model

__all__ = [
    "TokenModel",
    "UserModel",
    "WebSessionModel",
]


class TokenModel(Model):
    """An API token; only the hash of its secret is here. `grants` is JSON."""

    id: fields.Field[str] = fields.CharField(max_length=16, primary_key=True)
    name = fields.TextField()
    digest = fields.CharField(max_length=64)
    grants = fields.TextField()
    created_at = fields.DatetimeField()
    created_by = fields.TextField()
    expires_at = fields.DatetimeField(null=True)
    last_used_at = fields.DatetimeField(null=True)
    parent: fields.Field[str | None] = fields.CharField(max_length=16, null=True)

    class Meta(Model.Meta):
        """Its table."""

        table = "tokens"
        table_description = "API tokens"


class UserModel(Model):
    """Somebody who signs in with a password; only its hash is here. `grants` is JSON."""

    name: fields.Field[str] = fields.CharField(max_length=63, primary_key=True)
    password = fields.TextField()
    password_at = fields.DatetimeField()
    grants = fields.TextField()
    created_at = fields.DatetimeField()
    created_by = fields.TextField()

    class Meta(Model.Meta):
        """Its table."""

        table = "users"
        table_description = "Users with passwords"


class WebSessionModel(Model):
    """The session of a browser, or, while `pending`, a link that begins one; only the hash of its secret is here."""

    id: fields.Field[str] = fields.CharField(max_length=16, primary_key=True)
    digest = fields.CharField(max_length=64)
    owner = fields.TextField()
    pending = fields.BooleanField()
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()
    identity = fields.TextField(default="")

    class Meta(Model.Meta):
        """Its table."""

        table = "web_sessions"
        table_description = "Sessions of browsers, and links that begin one"
