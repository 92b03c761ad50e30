"""Brings an open socket from a thread to the event loop, or closes it when nobody waits for it any more."""

import os
import threading
from collections.abc import Callable

__all__ = ["Handover"]


class Handover:
    """One file descriptor on its way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._abandoned = False

    def put(self, open_it: Callable[[], int]) -> None:
        """Open the descriptor and leave it here; on the thread."""
        descriptor = open_it()
        with self._lock:
            self._descriptor = descriptor
        if self._abandoned:
            self.abandon()

    def take(self) -> int:
        """Take what was put; it is the taker's to close."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            raise ValueError("nothing was handed over")
        return descriptor

    def abandon(self) -> None:
        """Close what was put, or what will be; after `take` it does nothing."""
        with self._lock:
            self._abandoned = True
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
