"""One sampler for each host: whoever asks while a sample is being read shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from virtumancer.contracts import VMStats
from virtumancer.errors import HostLost

__all__ = ["Sampler"]

Read = Callable[[Sequence[str]], Awaitable[Mapping[str, VMStats]]]


class _Flight(Struct, eq=False):
    """A sample that is read, or will be: of all VMs that somebody asked for before it began."""

    uuids: dict[str, None] = {}
    task: asyncio.Task[Mapping[str, VMStats]] | None = None


class Sampler:
    """Reads the counters of VMs for all who ask; `read` does it for those VMs. It has no reader but this one.

    A caller never gets a sample that began before it asked, and one that leaves takes nothing from the others.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._waiting: _Flight | None = None
        self._running: asyncio.Task[Mapping[str, VMStats]] | None = None

    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        """Return the counters of those of these VMs that are there."""
        if not uuids:
            return {}
        task = self._join(uuids)
        await asyncio.wait({task})
        if task.cancelled():
            raise HostLost("The connection to the host was closed while its VMs were sampled.")
        found = task.result()
        return {uuid: found[uuid] for uuid in uuids if uuid in found}

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = {task for task in (self._running, self._waiting and self._waiting.task) if task}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _join(self, uuids: Sequence[str]) -> asyncio.Task[Mapping[str, VMStats]]:
        flight = self._waiting
        if flight is None or flight.task is None:
            flight = self._waiting = _Flight()
            flight.task = asyncio.create_task(self._fly(flight, self._running))
            flight.task.add_done_callback(_retrieve)
        flight.uuids.update(dict.fromkeys(uuids))
        return flight.task

    async def _fly(self, flight: _Flight, before: asyncio.Task[Mapping[str, VMStats]] | None) -> Mapping[str, VMStats]:
        if before is not None:
            await asyncio.wait({before})
        self._waiting, self._running = None, flight.task
        return await self._read(tuple(flight.uuids))


def _retrieve(task: asyncio.Task[Mapping[str, VMStats]]) -> None:
    """Mark a failure as seen even when everybody who waited has left."""
    if not task.cancelled():
        task.exception()
