"""Passwords: hashed with argon2id, in threads, and no more of them at once than this machine can take."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from virtumancer.errors import InvalidValue, TooManyAttempts

__all__ = ["LONGEST", "Passwords", "check_password"]

SHORTEST = 12
LONGEST = 256
# Each takes 64 MiB of memory while it is computed.
AT_ONCE = 2
WAITING = 32


def check_password(password: str, field: str) -> None:
    """Raise `InvalidValue` for a password that is too easy to guess, or too long to be one."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidValue(f"a password has {SHORTEST} to {LONGEST} characters", field=field)


class Passwords:
    """Hashes and compares."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """Return what is stored of a password."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fit(self, stored: str | None, password: str) -> bool:
        """Say whether a password is the stored one; it takes as long when there is none to compare with."""
        if self._waiting >= WAITING:
            raise TooManyAttempts("too many people sign in just now; try again", retry_after=1.0)
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(self._verify, stored, password)
        finally:
            self._waiting -= 1

    def _verify(self, stored: str | None, password: str) -> bool:
        if not self._nobody:
            self._nobody = self._hasher.hash(secrets.token_urlsafe())
        try:
            self._hasher.verify(stored or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return stored is not None
