"""Screenshots: one per VM and interval, however many look."""

import asyncio
import hashlib
import time
from collections import OrderedDict

from msgspec import Struct

from virtumancer.contracts import HostConnection, SupportsScreenshot, VMRef
from virtumancer.errors import AbilityMissing
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.vms.service import VMsService

__all__ = ["Picture", "ScreenshotsService"]

# A grid of thumbnails; a picture takes some tens of kilobytes.
KEPT = 256


class Picture(Struct, frozen=True):
    """A screenshot with the tag that names its content."""

    png: bytes
    etag: str
    taken_at: float


class ScreenshotsService:
    """Takes screenshots and keeps each for a short time."""

    def __init__(self, hosts: HostsService, vms: VMsService, interval: float) -> None:
        self._hosts = hosts
        self._vms = vms
        self.interval = interval
        self._kept: OrderedDict[tuple[str, str], Picture] = OrderedDict()
        self._taking: dict[tuple[str, str], asyncio.Task[Picture]] = {}

    async def get(self, host_id: str, name: str) -> Picture:
        """Return a picture of the VM's screen that is at most `interval` seconds old."""
        vm = await self._vms.find(host_id, name)
        key = (host_id, vm.uuid)
        picture = self._kept.get(key)
        if picture and time.monotonic() - picture.taken_at < self.interval:
            return picture
        task = self._taking.get(key)
        if task is None:
            task = self._taking[key] = asyncio.create_task(self._take(host_id, vm))
            task.add_done_callback(lambda done: self._taken(key, done))
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Stop what is under way."""
        tasks = tuple(self._taking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, host_id: str, vm: VMRef) -> Picture:
        session = self._hosts.session(host_id)
        shot = await session.call(lambda c: _with_screenshot(c).screenshot(vm.uuid))
        return Picture(shot.png, f'"{hashlib.sha256(shot.png).hexdigest()[:32]}"', time.monotonic())

    def _taken(self, key: tuple[str, str], task: asyncio.Task[Picture]) -> None:
        self._taking.pop(key, None)
        if task.cancelled() or task.exception():
            return
        self._kept[key] = task.result()
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _with_screenshot(connection: HostConnection) -> SupportsScreenshot:
    served = connection.ability(SupportsScreenshot)
    if served is None:
        raise AbilityMissing("this host's driver takes no screenshots", ability="screenshot")
    return served
