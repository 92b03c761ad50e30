"""How long a client may keep us waiting: some time, and more with every byte that moves."""

__all__ = ["NEVER", "ReadDeadline", "WriteStall"]

NEVER = float("inf")
MIN_RATE = 500.0
"""Bytes a second: less than any network has, and enough that a trickle ends."""


class ReadDeadline:
    """When what comes from a client has to be complete: bytes put it off, but never further than the allowance."""

    __slots__ = ("_allowance", "until")

    def __init__(self, allowance: float) -> None:
        self._allowance = allowance
        self.until = NEVER

    def begin(self, now: float) -> None:
        """Begin to wait."""
        self.until = now + self._allowance

    def end(self) -> None:
        """Wait for nothing any more."""
        self.until = NEVER

    def credit(self, count: int, now: float) -> None:
        """Put it off for the bytes that came."""
        self.until = min(self.until + count / MIN_RATE, now + self._allowance)

    def put_off(self, now: float) -> None:
        """Begin anew, if anything is waited for."""
        if self.until != NEVER:
            self.begin(now)


class WriteStall:
    """Whether what was written leaves: while nothing more is written, the buffer has to shrink."""

    __slots__ = ("_patience", "_size")

    def __init__(self, allowance: float) -> None:
        self._patience = ReadDeadline(allowance)
        self._size = 0

    def note_progress(self) -> None:
        """Take note that the buffer became empty enough to be written to again."""
        self._patience.end()

    def overdue(self, now: float, size: int, *, stuck: bool) -> bool:
        """Say whether the client has not read for too long; `stuck` is whether nothing more is written just now."""
        if not stuck or not size:
            self._patience.end()
            return False
        if self._patience.until == NEVER:
            self._patience.begin(now)
        else:
            self._patience.credit(max(0, self._size - size), now)
        self._size = size
        return now >= self._patience.until
