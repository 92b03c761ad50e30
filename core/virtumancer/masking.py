"""Hides passwords, tokens and tickets in text and data that leave the program as messages or logs."""

import re
from collections.abc import Mapping, Sequence
from typing import cast
from urllib.parse import unquote

__all__ = ["MASK", "holds_secret", "is_secret_key", "mask_data", "mask_text", "mask_url"]

MASK = "***"

_SECRET_KEY = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|ticket|authorization|cookie|api_?key|private_?key)$", re.I
)
_USER = r"(://[^\s:/@\[]*:)"
# A password may hold an unquoted `/` or `@`; a port number followed by a path must not be taken for one.
_URL_PASSWORD = re.compile(_USER + r"(?!\d+(?:[/?#\s]|$))[^\s\"'<>]*@")
_QUERY_SECRET = re.compile(r"([?&;](?:\w*(?:password|secret|token|ticket|api_?key))=)[^&;#\s\"'<>]+", re.I)
_AUTHORIZATION = re.compile(r"(authorization[\"']?\s*[:=]\s*[\"']?\w+\s+)[^\s\"']+", re.I)


def is_secret_key(key: str) -> bool:
    """Say whether a key of this name holds a secret."""
    return _SECRET_KEY.search(key) is not None


def mask_text(text: str) -> str:
    """Replace the passwords in URLs, the secrets in query strings and authorization headers."""
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _QUERY_SECRET.sub(rf"\1{MASK}", text)
    return _AUTHORIZATION.sub(rf"\1{MASK}", text)


def mask_url(url: str) -> str:
    """Replace the password of one URL, whatever characters it holds."""
    return mask_text(re.sub(_USER + r".*@", rf"\1{MASK}@", url, flags=re.DOTALL))


def holds_secret(url: str) -> bool:
    """Say whether a URL holds a password, as it is written or as its reader will decode it."""
    return any(mask_url(one) != one for one in (url, unquote(url)))


def mask_data(value: object, key: str = "") -> object:
    """Copy plain data with the values of secret keys replaced, and secrets in all its strings masked."""
    if key and is_secret_key(key) and value not in (None, ""):
        return MASK
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {str(name): mask_data(item, str(name)) for name, item in pairs}
    if isinstance(value, list | tuple):
        return [mask_data(item) for item in cast("Sequence[object]", value)]
    return value
