"""Live counters for whoever subscribed: one bulk call per host and interval, however many listen."""

import asyncio
from collections.abc import Callable, Iterable

import structlog
from msgspec import Struct

from virtumancer.contracts import VMStats
from virtumancer.errors import HostNotFound, VirtumancerError, VMNotFound
from virtumancer.plugins.calls.spans import leave_trace
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.hosts.vm_lookup import find_vm, last_seen
from virtumancer.services.runtime.signals import Signal

__all__ = ["StatsStream", "StatsSubscription"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class StatsSubscription(Struct, frozen=True):
    """A VM as a subscriber named it; `seen` says that this is its UUID, and can be no other's name."""

    host_id: str
    vm_name: str
    seen: bool = False


Receiver = Callable[[StatsSubscription, VMStats], None]


class StatsStream:
    """Samples the VMs that somebody watches. A host's task lives only while one of its VMs is watched."""

    def __init__(self, hosts: HostsService, interval: float) -> None:
        self._hosts = hosts
        self._interval = interval
        self._watched: dict[StatsSubscription, Signal[StatsSubscription, VMStats]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def subscribe(self, subject: StatsSubscription, receiver: Receiver) -> Callable[[], None]:
        """Hand every new sample of this VM to `receiver`, until the returned function is called."""
        signal = self._watched.setdefault(subject, Signal("live statistics"))
        unsubscribe = signal.subscribe(receiver)
        task = self._tasks.get(subject.host_id)
        if task is None or task.done():
            self._tasks[subject.host_id] = asyncio.create_task(
                self._follow(subject.host_id), name=f"live stats {subject.host_id}"
            )

        def leave() -> None:
            unsubscribe()
            # Whoever comes after the last has left begins another.
            if len(signal) == 0 and self._watched.get(subject) is signal:
                del self._watched[subject]

        return leave

    async def aclose(self) -> None:
        """End all sampling."""
        tasks, self._tasks = tuple(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, host_id: str) -> None:
        structlog.contextvars.clear_contextvars()  # it serves more than the socket that began it
        leave_trace()
        while watched := [subject for subject in self._watched if subject.host_id == host_id]:
            try:
                await self._sample(self._hosts.session(host_id), watched)
            except HostNotFound:
                pass  # it may be added again while somebody still watches
            except VirtumancerError as error:
                log.debug("no live statistics", host=host_id, reason=error.message)
            await asyncio.sleep(self._interval)

    async def _sample(self, session: HostSession, watched: Iterable[StatsSubscription]) -> None:
        uuids = {subject: await self._uuid(session, subject) for subject in watched}
        wanted = sorted({uuid for uuid in uuids.values() if uuid})
        if not wanted:
            return
        samples = await session.call(lambda connection: connection.sample(wanted))
        for subject, uuid in uuids.items():
            if uuid and uuid in samples:
                self._deliver(subject, samples[uuid])

    @staticmethod
    async def _uuid(session: HostSession, subject: StatsSubscription) -> str | None:
        """Take the UUID of the last look; a name that was not seen there, or may have moved since, is looked up."""
        if subject.seen:
            return subject.vm_name
        inventory = session.inventory
        known = None if inventory.behind else last_seen(inventory, subject.vm_name)
        if known:
            return known.uuid
        try:
            return (await find_vm(session, subject.vm_name)).uuid
        except VMNotFound:
            return None

    def _deliver(self, subject: StatsSubscription, stats: VMStats) -> None:
        if signal := self._watched.get(subject):
            signal.emit(subject, stats)
