"""Scripted faults: what a fake hypervisor does wrong, and when."""

import asyncio
from collections import Counter

__all__ = ["Faults"]


class Faults:
    """Makes calls fail, hang or wait, and counts them by name."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        """What reached the hypervisor, and how often."""
        self.refused: Counter[str] = Counter()
        """What was asked of a connection that is lost."""
        self._errors: dict[str, list[Exception]] = {}
        self._delays: dict[str, float] = {}
        self._hanging: dict[str, asyncio.Event] = {}
        self._dropping: dict[str, int] = {}
        self._partial: dict[str, int] = {}

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

    def drop(self, call: str, after: int = 0) -> None:
        """Lose the connection at the next call of this name, or after so many that still work."""
        self._dropping[call] = after

    def partial(self, call: str, left_out: int = 1) -> None:
        """Make `list_vms` or `sample` leave out so many VMs, as a host does that is busy, and say so; 0 ends that."""
        self._partial[call] = left_out

    def left_out(self, call: str) -> int:
        """Say how many VMs this call leaves out."""
        return self._partial.get(call, 0)

    def drops(self, call: str) -> bool:
        """Say whether the connection is lost at this call, and count it."""
        if call not in self._dropping:
            return False
        self._dropping[call] -= 1
        if self._dropping[call] >= 0:
            return False
        del self._dropping[call]
        return True

    async def meet(self, call: str) -> None:
        """Do to this call what the script says."""
        self.calls[call] += 1
        if delay := self._delays.get(call):
            await asyncio.sleep(delay)
        if hanging := self._hanging.get(call):
            await hanging.wait()
        if errors := self._errors.get(call):
            raise errors.pop(0)
