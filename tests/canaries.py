"""Secrets of the tests that can be recognised wherever they turn up in clear."""

import re
import secrets
from collections.abc import Iterable
from pathlib import Path

__all__ = ["CANARIES", "Canaries", "Leak"]

_ISSUED = 43
"""The length of `secrets.token_urlsafe(32)`, in which every secret that the program issues ends."""
_WORD = re.compile(rf"[A-Za-z0-9_-]{{{_ISSUED},}}")
_PLANTED = re.compile(r"canary-[a-z]+-[0-9a-f]{24}|Zq[A-Za-z0-9]{6}")
_HEX = re.compile(r"\\x((?:[0-9a-f]{2}){8,})")
"""Bytes as PostgreSQL prints them."""
# What the program writes: databases with all that belongs to them, its logs, and those of the hosts it talks to.
_FILES = ("*.db", "*.db-wal", "*.db-journal", "log", "sshd.log")


class Leak(AssertionError):
    """A secret stands somewhere in clear; the message names its kind and the place, not the secret."""


class Canaries:
    """Remembers secrets, and finds them in texts, bytes and files.

    Searching costs one look at each word, however many secrets there are.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}

    def plant(self, kind: str) -> str:
        """Make a secret of this kind, for a test to put where people put theirs."""
        return self._keep(kind, f"canary-{kind}-{secrets.token_hex(12)}")

    def plant_short(self, kind: str) -> str:
        """Make one of eight letters and digits, as long as a VNC password may be."""
        word = secrets.token_hex(3)
        return self._keep(kind, f"Zq{word}")

    def learn(self, kind: str, secret: str) -> None:
        """Remember a secret that the program made; what is none of its secrets is left alone."""
        if len(secret) >= _ISSUED and _WORD.fullmatch(secret[-_ISSUED:]):
            self._keep(kind, secret[-_ISSUED:])

    def _keep(self, kind: str, secret: str) -> str:
        self._kinds.setdefault(secret, kind)
        return secret

    def found_in(self, place: str | bytes) -> list[str]:
        """Name the kinds of the secrets that stand there in clear."""
        text = place if isinstance(place, str) else place.decode("latin-1")
        found = set(_PLANTED.findall(text)) & self._kinds.keys()
        for word in _WORD.findall(text):
            pieces = {word[start : start + _ISSUED] for start in range(len(word) - _ISSUED + 1)}
            found |= pieces & self._kinds.keys()
        return sorted({self._kinds[secret] for secret in found})

    def check(self, place: str | bytes, name: str) -> None:
        """Raise `Leak` when one of them stands there."""
        if kinds := self.found_in(place):
            raise Leak(f"{name} holds a secret in clear: {', '.join(kinds)}")

    def check_files(self, folder: Path, seen: Iterable[Path] = ()) -> None:
        """Raise `Leak` when a database or a log below a folder holds one, in whatever page of it."""
        done = set(seen)
        for pattern in _FILES:
            for path in folder.rglob(pattern):
                if path.is_file() and path not in done:
                    self.check(path.read_bytes(), str(path))

    def check_dump(self, dump: str, name: str) -> None:
        """Raise `Leak` when what PostgreSQL tells of its databases holds one, also among bytes."""
        self.check(dump, name)
        for digits in _HEX.findall(dump):
            self.check(bytes.fromhex(digits), name)


CANARIES = Canaries()
"""Those of this run; each process of a run has its own."""
