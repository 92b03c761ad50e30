"""Hides passwords, tokens and tickets in text and data that leave the program as messages or logs."""

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import cast
from urllib.parse import quote, unquote

__all__ = ["MASK", "holds_secret", "is_secret_key", "mask_data", "mask_text", "mask_url", "remember_secret"]

MASK = "***"

_SECRET_KEY = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|ticket|authorization|cookie|api_?key|private_?key)$", re.I
)
_USER = r"(://[^\s:/@\[]*:)"
# A password may hold an unquoted `/` or `@`; a port number followed by a path must not be taken for one.
_URL_PASSWORD = re.compile(_USER + r"(?!\d+(?:[/?#\s]|$))[^\s\"'<>]*@")
_QUERY_SECRET = re.compile(r"([?&;](?:\w*(?:password|secret|token|ticket|api_?key))=)[^&;#\s\"'<>]+", re.I)
_AUTHORIZATION = re.compile(r"(authorization[\"']?\s*[:=]\s*[\"']?\w+\s+)[^\s\"']+", re.I)


class _KnownSecrets:
    """Values that are masked wherever they turn up: what comes from a library or a plugin follows no form of ours."""

    # Fewer characters stand in too many words that are no secrets.
    SHORTEST = 6
    # A certificate with its key has some 60 lines; the oldest are given up, those in use are remembered anew.
    MOST = 20_000

    def __init__(self) -> None:
        self._forms: OrderedDict[str, None] = OrderedDict()
        self._pattern: re.Pattern[str] | None = None

    def remember(self, value: str) -> None:
        forms = [form for form in _forms_of(value) if len(form) >= self.SHORTEST]
        if all(form in self._forms for form in forms):
            return
        for form in forms:
            self._forms[form] = None
            self._forms.move_to_end(form)
        while len(self._forms) > self.MOST:
            self._forms.popitem(last=False)
        # The longest first: one may be the beginning of another.
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


# Logs are the whole program's, as are the libraries that write them.
_KNOWN = _KnownSecrets()


def remember_secret(value: str) -> None:
    """Mask this value from now on in all texts, also line by line, and as JSON, Python or a URL write it."""
    _KNOWN.remember(value)


def _forms_of(value: str) -> Iterable[str]:
    lines = value.splitlines() if "\n" in value else [value]
    for line in (line.strip() for line in lines):
        if not line.startswith("-----"):  # the head and foot of PEM, which tell nothing
            yield from {line, json.dumps(line)[1:-1], json.dumps(line, ensure_ascii=False)[1:-1], quote(line, safe="")}
            yield repr(line)[1:-1]


def is_secret_key(key: str) -> bool:
    """Say whether a key of this name holds a secret."""
    return _SECRET_KEY.search(key) is not None


def mask_text(text: str) -> str:
    """Replace the passwords in URLs, secrets in query strings, authorization headers, and all that are remembered."""
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _QUERY_SECRET.sub(rf"\1{MASK}", text)
    return _KNOWN.mask(_AUTHORIZATION.sub(rf"\1{MASK}", text))


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
