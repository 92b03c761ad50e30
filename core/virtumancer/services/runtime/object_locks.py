"""Locks of objects by what they are: two who change the same one do so one after the other."""

import asyncio
from weakref import WeakValueDictionary

__all__ = ["ObjectLocks"]


class ObjectLocks:
    """Has a lock for every object that somebody changes just now, by its identity and not by a name it may have."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    def of(self, identity: tuple[str, ...]) -> asyncio.Lock:
        """Return the lock of an object; it is there for as long as somebody keeps it."""
        return self._locks.setdefault(identity, asyncio.Lock())
