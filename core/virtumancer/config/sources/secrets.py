"""Secrets of the configuration: the file names where each is, and never holds one itself."""

import os
from pathlib import Path

from virtumancer.contracts import Secret

__all__ = ["SecretMissing", "read_secret"]

FORMS = '"env:NAME" or "file:PATH"'
# More than any key or certificate; a wrong path may lead to something without an end.
LIMIT = 64 * 1024


class SecretMissing(Exception):
    """A secret cannot be had; the message completes a sentence about its setting and holds no value."""


def read_secret(reference: object) -> Secret:
    """Read the secret that `env:NAME` or `file:PATH` names; one line break at the end of a file is not part of it."""
    form, _, name = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    if form == "env" and name:
        return _found(os.environ.get(name), f"environment variable {name}", "is not set")
    if form == "file" and name:
        return _found(_read(name), f"file {name}", "is not there")
    raise SecretMissing(f"must be {FORMS}; the secret itself does not stand in the file")


def _read(name: str) -> str | None:
    try:
        with Path(name).expanduser().open("rb") as file:
            content = file.read(LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretMissing(f"names the file {name}, which cannot be read: {error.strerror}") from error
    if len(content) > LIMIT:
        raise SecretMissing(f"names the file {name}, which is larger than {LIMIT // 1024} KiB")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        # Without its cause: the error holds what was read.
        raise SecretMissing(f"names the file {name}, which is not UTF-8 text: byte {error.start}") from None


def _found(value: str | None, source: str, missing: str) -> Secret:
    if value is None:
        raise SecretMissing(f"names the {source}, which {missing}")
    if not value:
        raise SecretMissing(f"names the {source}, which is empty")
    return Secret(value, source)
