"""The key that seals the credentials of hosts: it lies outside the store, which holds what it sealed."""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
from msgspec import Struct

from virtumancer.config import SecretMissing, read_secret
from virtumancer.errors import CredentialsUnreadable

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

__all__ = ["CredentialsKey"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


MAKE = "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())' makes one"
_Place = tuple[str, str]
"""A host and the name of a credential."""


class _Content(Struct, frozen=True):
    """What is sealed: the value with its place, so that nobody moves it to another host who can write in the store."""

    host: str
    name: str
    value: str


class CredentialsKey:
    """Seals and opens credentials; every method blocks, and reads the key anew.

    It is in `reference`, as `env:NAME` or `file:PATH`, or else in `own_file`, which is made when the first credential
    is sealed. There may be several keys, one a line: the first seals, all open.
    """

    def __init__(self, reference: str, own_file: Path) -> None:
        self._reference = reference
        self._own_file = own_file

    def seal(self, host_id: str, values: Mapping[str, str], known: str | None) -> dict[str, str]:
        """Return what is stored of each value.

        `known` is one that was sealed before, if any: a key that does not open it is another one, and two keys in one
        store would lose half of it when one of them is lost. Raises `CredentialsUnreadable`.
        """
        keys = self._keys(may_make=known is None)
        if known is not None:
            self._open(known, keys)
        return {name: _sealed(keys[0], _Content(host_id, name, value)) for name, value in values.items()}

    def open(self, host_id: str, sealed: Mapping[str, str]) -> dict[str, str]:
        """Return the values. Raises `CredentialsUnreadable`."""
        keys, opened = self._keys(), dict[str, str]()
        for name, text in sealed.items():
            content = self._open(text, keys)
            if (content.host, content.name) != (host_id, name):
                raise CredentialsUnreadable(
                    f"what the database has as credential {name!r} of host {host_id!r} was sealed for another place; "
                    "set it again"
                )
            opened[name] = content.value
        return opened

    def renewed(self, sealed: Mapping[_Place, str]) -> tuple[dict[_Place, str], dict[_Place, str]]:
        """Return what older keys sealed, sealed with the first, and why others cannot be opened, by their places.

        Raises `CredentialsUnreadable` when there is no key.
        """
        keys, anew, unreadable = self._keys(), dict[_Place, str](), dict[_Place, str]()
        for place, text in sealed.items():
            try:
                content = self._open(text, keys)
            except CredentialsUnreadable as error:
                unreadable[place] = error.message
                continue
            try:
                self._open(text, keys[:1])
            except CredentialsUnreadable:
                anew[place] = _sealed(keys[0], content)
        return anew, unreadable

    def _open(self, sealed: str, keys: "Sequence[Fernet]") -> _Content:
        from cryptography.fernet import InvalidToken, MultiFernet  # noqa: PLC0415 - see _fernet

        try:
            return msgspec.json.decode(MultiFernet(keys).decrypt(sealed.encode()), type=_Content)
        except InvalidToken:
            raise CredentialsUnreadable(
                f"the key in {self._place} is another one than that with which the credentials of hosts were sealed; "
                "bring the former key back, on a line of its own below the present one, or remove the credentials and "
                "set them again"
            ) from None

    def _keys(self, *, may_make: bool = False) -> "list[Fernet]":
        text = self._text(may_make=may_make)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise CredentialsUnreadable(f"there is no key in {self._place}; write one there: {MAKE}")
        return [self._fernet(number, line) for number, line in enumerate(lines, 1)]

    def _fernet(self, number: int, line: str) -> "Fernet":
        # Not at the top of the file: importing it takes longer than most of the start, and few servers need it.
        from cryptography.fernet import Fernet  # noqa: PLC0415

        try:
            return Fernet(line)
        except ValueError:
            raise CredentialsUnreadable(
                f"line {number} of {self._place} is no key: 32 bytes as base64 for URLs are one; {MAKE}"
            ) from None

    def _text(self, *, may_make: bool) -> str:
        reference = self._reference or f"file:{self._own_file}"
        try:
            return read_secret(reference).reveal()
        except SecretMissing as missing:
            if may_make and not self._reference and not self._own_file.exists():
                return self._made()
            raise CredentialsUnreadable(
                f"the key of the hosts' credentials cannot be had: it {missing}; bring it back, or remove the "
                "credentials of the hosts and set them again"
            ) from None

    @property
    def _place(self) -> str:
        return self._reference or f"file:{self._own_file}"

    def _made(self) -> str:
        """Make the key, so that a crash leaves all of it or nothing, and of two processes that do one key is left."""
        from cryptography.fernet import Fernet  # noqa: PLC0415 - see _fernet

        file = self._own_file
        key = Fernet.generate_key()
        part = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as opened:
                    opened.write(key + b"\n")
                    opened.flush()
                    os.fsync(opened.fileno())
                file.hardlink_to(part)
            finally:
                part.unlink()
            _sync_folder(file.parent)
        except FileExistsError:
            return read_secret(f"file:{file}").reveal()
        except OSError as error:
            raise CredentialsUnreadable(
                f"the key of the hosts' credentials cannot be written to {file}: {error.strerror}; make its folder "
                "writable, or say with server.credentials_key where a key is"
            ) from error
        log.info(
            "the key of the hosts' credentials was made; keep a copy of it apart from the database's", file=str(file)
        )
        return key.decode()


def _sealed(key: "Fernet", content: _Content) -> str:
    return key.encrypt(msgspec.json.encode(content)).decode()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
