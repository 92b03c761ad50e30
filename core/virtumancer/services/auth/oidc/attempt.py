"""One attempt to sign in at the provider: how it begins, and what the browser brings back."""

from msgspec import Struct

__all__ = ["OIDCAnswer", "OIDCStart"]


class OIDCStart(Struct, frozen=True):
    """Where to send the browser, and what it has to show when it comes back."""

    url: str
    secret: str


class OIDCAnswer(Struct, frozen=True):
    """What a browser brings back from the provider, and the `secret` that it was given before."""

    secret: str
    state: str = ""
    code: str = ""
    error: str = ""
    issuer: str = ""
