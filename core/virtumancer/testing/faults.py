"""Scripted faults: what a fake hypervisor does wrong, and when."""

import asyncio
from collections import Counter

__all__ = ["Faults"]


class Faults:
    """Makes calls fail, hang or wait; counts every call by name."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._errors: dict[str, list[Exception]] = {}
        self._delays: dict[str, float] = {}
        self._hanging: dict[str, asyncio.Event] = {}

    def fail(self, call: str, error: Exception, times: int = 1) -> None:
        """Make the next `times` calls of this name raise `error`."""
        self._errors.setdefault(call, []).extend([error] * times)

    def delay(self, call: str, seconds: float) -> None:
        """Make every call of this name take this long; 0 ends that."""
        self._delays[call] = seconds

    def hang(self, call: str) -> None:
        """Make every call of this name wait until `release`."""
        self._hanging[call] = asyncio.Event()

    def release(self, call: str) -> None:
        """Let the hanging calls of this name go on."""
        self._hanging.pop(call).set()

    async def meet(self, call: str) -> None:
        """Do to this call what the script says."""
        self.calls[call] += 1
        if delay := self._delays.get(call):
            await asyncio.sleep(delay)
        if hanging := self._hanging.get(call):
            await hanging.wait()
        if errors := self._errors.get(call):
            raise errors.pop(0)
