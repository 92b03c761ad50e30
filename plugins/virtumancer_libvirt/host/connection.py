"""A live connection to one libvirt host: what the API asks, answered by the threads that talk to it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from virtumancer.contracts import (
    VM,
    ConnectSettings,
    ConsoleConnection,
    ConsoleOffer,
    EventsMissed,
    EventStream,
    HardwareInfo,
    HostConnection,
    HostInfo,
    LibvirtAccess,
    PowerVerb,
    Screenshot,
    SupportsConsoles,
    SupportsEvents,
    SupportsScreenshot,
    VMChange,
    VMEvent,
    VMRef,
    VMStats,
)
from virtumancer.errors import CallTimeout, HostLost, HostUnreachable, HypervisorError, VirtumancerError, VMNotFound
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.events import EVENT_KINDS, EventHub, Mailbox, RawEvent, change_of, has_stopped
from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.consoles.consoles import Consoles
from virtumancer_libvirt.consoles.dialer import ConsoleDialer
from virtumancer_libvirt.consoles.screenshot import as_png, take_picture
from virtumancer_libvirt.host.access import Access, Run
from virtumancer_libvirt.host.liveness import Liveness
from virtumancer_libvirt.uri.uri import LibvirtURI
from virtumancer_libvirt.vms.bulk import BulkCalls, Look
from virtumancer_libvirt.vms.chunks import chunks_of
from virtumancer_libvirt.vms.definition_cache import DefinitionCache
from virtumancer_libvirt.vms.definition_reader import Definitions
from virtumancer_libvirt.vms.hardware import parse_hardware
from virtumancer_libvirt.vms.listing import Snapshot, build_vms, read_records, take_overview
from virtumancer_libvirt.vms.pauses import Pauses
from virtumancer_libvirt.vms.process_age import AgeReader
from virtumancer_libvirt.vms.sampler import Sampler
from virtumancer_libvirt.vms.stats import read_stats
from virtumancer_libvirt.vms.uptime import Uptimes

__all__ = ["LibvirtConnection"]

log = logging.getLogger(__name__)

A = TypeVar("A")
R = TypeVar("R")

_HEAL_TIMEOUT = 5.0
_AGES_PATIENCE = 0.5
"""Seconds a listing waits for the ages of VMs; a host with a slow login shell shows them in the next one."""
_BRIEF_TIMEOUT = 3.0

_KEEP_THE_XML = frozenset({VMChange.SUSPENDED, VMChange.RESUMED, VMChange.REBOOTED})


class LibvirtConnection(HostConnection, SupportsConsoles, SupportsEvents, SupportsScreenshot):
    """One host. `start` it before anything else; whoever made it closes it, also when `start` fails."""

    def __init__(
        self,
        label: str,
        uri: LibvirtURI,
        pool: Pool,
        hub: EventHub,
        lifeline: Liveness,
        settings: ConnectSettings,
        read_ages: AgeReader | None,
        reach: ConsoleDialer,
    ) -> None:
        self._label = label
        self._pool = pool
        self._hub = hub
        self._lifeline = lifeline
        self._settings = settings
        self._read_ages = read_ages
        self._ages_wanted = read_ages is not None
        self._uptimes = Uptimes()
        self._pauses = Pauses()
        self._cache = DefinitionCache()
        self._definitions = Definitions(pool, self._cache, settings.call_timeout, self._is_there)
        self._consoles = Consoles(
            uri, reach, self._quick, self._describe, self._brief, settings.call_timeout, self._named
        )
        self._access = Access(self._slow, self._lend)
        self._mailbox = self._new_mailbox()
        self._listing = asyncio.Lock()
        self._bulk = BulkCalls(label, pool, settings.call_timeout, self._is_there)
        self._sampler = Sampler(self._read_samples)
        self._last: dict[str, VM] = {}
        self._names: dict[str, str] = {}
        self._samples: dict[str, VMStats] = {}
        self._healing: asyncio.Task[None] | None = None
        self._loading_ages: asyncio.Task[None] | None = None
        self._closed = False
        pool.on_quick_stuck = self._quick_stuck

    async def start(self) -> None:
        """Register with the hypervisor before anything is read, so that no change is missed in between."""
        if await self._quick(self._listen, "tell its events"):
            self._cache.trust()

    async def info(self) -> HostInfo:
        """Describe the host."""
        return await self._quick(VirConnect.host_info, "describe itself")

    async def list_vms(self) -> Sequence[VM]:
        """List all VMs in four round trips, one for each hundred, and one for each definition that changed."""
        async with self._listing:
            # Beside the listing: over a long line a first look is the sum of the round trips that wait in turn.
            if self._read_ages and self._ages_wanted and self._loading_ages is None:
                # Since when VMs run, once: later starts are seen.
                self._loading_ages = asyncio.create_task(self._load_ages(self._read_ages))
            overview = await self._quick(take_overview, "list its VMs")
            definitions = await self._watched(self._definitions.of(overview.uuids))
            chunks = chunks_of(overview.uuids, definitions)
            reads = [partial(read_records, chunk=chunk) for chunk in chunks]
            records = [record for part in await self._bulk_reads(reads, "list its VMs") for record in part]
            snapshot = Snapshot(records, overview)
            if self._loading_ages:
                await asyncio.wait({self._loading_ages}, timeout=_AGES_PATIENCE)
            vms = build_vms(snapshot, definitions, self._uptimes, self._last, self._pauses)
            self._last = {vm.uuid: vm for vm in vms}
            self._names = {vm.uuid: vm.name for vm in vms}
            self._samples = {uuid: sample for uuid, sample in self._samples.items() if uuid in self._last}
            return vms

    async def find_vm(self, name_or_uuid: str) -> VMRef:
        """Look one VM up by name, or else by UUID."""
        return await self._look_up(_find, name_or_uuid)

    async def find_by_uuid(self, uuid: str) -> VMRef:
        """Look up the VM that has this UUID, whatever others are named."""
        return await self._look_up(partial(VirConnect.find, as_uuid=True), uuid)

    async def find_by_name(self, name: str) -> VMRef:
        """Look up the VM that has this name, whatever UUIDs others have."""
        return await self._look_up(partial(VirConnect.find, as_uuid=False), name)

    async def hardware(self, uuid: str) -> HardwareInfo:
        """Describe the disks and NICs of one VM: the live ones while it runs."""
        return await self._describe(lambda node: parse_hardware(node.xml(uuid)), f"describe VM {self._named(uuid)}")

    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        """Read the counters of these VMs, together with whoever else asks; what a VM does not tell is as last known."""
        return await self._sampler.sample(uuids)

    async def _read_samples(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        chunks = chunks_of(uuids, self._cache.known(uuids))
        last = {uuid: self._samples[uuid] for uuid in uuids if uuid in self._samples}
        reads = [partial(read_stats, chunk=chunk, last=last) for chunk in chunks]
        samples: dict[str, VMStats] = {}
        for part in await self._bulk_reads(reads, "sample its VMs"):
            samples |= part
        self._samples.update(samples)
        return samples

    async def power(self, uuid: str, verb: PowerVerb) -> None:
        """Change the power state, on a connection where that delays nobody."""
        await self._slow(lambda node: node.power(uuid, verb), f"{verb} VM {self._named(uuid)}")

    async def consoles(self, uuid: str) -> Sequence[ConsoleOffer]:
        """Name the consoles of a VM, also those that cannot be opened just now."""
        return await self._consoles.offers(uuid)

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        """Connect to one console of a VM, wherever the hypervisor listens."""
        self._lifeline.check()
        return await self._consoles.open(uuid, kind)

    async def open_console_device(self, uuid: str, kind: str, device: str) -> ConsoleConnection:
        """Connect to one of several serial consoles, by its alias in the VM's XML."""
        self._lifeline.check()
        if kind != "serial":
            return await super().open_console_device(uuid, kind, device)
        return await self._consoles.open_serial(uuid, device)

    async def screenshot(self, uuid: str) -> Screenshot:
        """Take a picture of the first screen."""
        picture = await self._slow(partial(take_picture, uuid=uuid), f"take a screenshot of VM {self._named(uuid)}")
        return Screenshot(await asyncio.to_thread(as_png, picture))

    async def open_events(self) -> EventStream:
        """Listen; the hypervisor has been told to tell us since `start`."""
        self._lifeline.check()
        return self._hub.subscribe()

    async def wait_lost(self) -> str:
        """Return the reason as soon as the connection is lost."""
        return await self._lifeline.wait_lost()

    def ability(self, kind: type[A]) -> A | None:
        """Return who serves an ability."""
        return self._access if isinstance(self._access, kind) else super().ability(kind)

    def abilities(self) -> Iterable[type[Any]]:
        """Name all of them."""
        return (*super().abilities(), LibvirtAccess)

    async def aclose(self) -> None:
        """Leave in order where the host lets us, and without it where it hangs."""
        if self._closed:
            return
        self._closed = True
        self._hub.close()
        self._pool.close()
        await self._sampler.aclose()
        for task in (self._healing, self._loading_ages):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        try:
            if not await self._pool.wait_closed(1.0):
                self._lifeline.cut("the host did not let us leave in order")
                await self._pool.wait_closed(0.5)
        finally:
            await self._lifeline.aclose()

    async def _look_up(self, find: Callable[[VirConnect, str], VMRef | None], said: str) -> VMRef:
        found = await self._quick(lambda node: find(node, said), f"look up VM {said}")
        if found is None:
            raise VMNotFound(f"Host {self._label} has no VM {said}; list its VMs to see what is there.")
        self._names[found.uuid] = found.name
        return found

    def _named(self, uuid: str) -> str:
        """Return the name of a VM as last seen, its UUID when it never was."""
        return self._names.get(uuid, uuid)

    async def _bulk_reads(self, reads: Sequence[Callable[[VirConnect, Look], R]], doing: str) -> list[R]:
        self._lifeline.check()
        return await self._watched(self._bulk.read_all(reads, doing))

    async def _is_there(self, timeout: float) -> None:
        """Ask whether it is one VM or the whole host that hangs; when this is not answered either, the host is lost."""
        await self._quick(VirConnect.ping, "answer", timeout)

    async def _quick(self, function: Callable[[VirConnect], R], doing: str, timeout: float | None = None) -> R:
        if self._healing is not None:
            await asyncio.wait({self._healing})
        self._lifeline.check()
        timeout = self._settings.call_timeout if timeout is None else timeout
        return await self._watched(self._pool.quick.call(function, timeout=timeout, doing=doing))

    async def _slow(
        self, function: Callable[[VirConnect], R], doing: str, timeout: float | None = None, answer: float | None = None
    ) -> R:
        self._lifeline.check()
        timeout = self._settings.slow_call_timeout if timeout is None else timeout
        try:
            return await self._watched(self._pool.slow(function, timeout=timeout, doing=doing))
        except CallTimeout:
            await self._is_there(self._settings.call_timeout if answer is None else answer)
            raise

    async def _describe(self, function: Callable[[VirConnect], R], doing: str) -> R:
        """Make a call that is quick unless somebody else waits for the VM; both questions have the time of one."""
        third = self._settings.call_timeout / 3
        return await self._slow(function, doing, 2 * third, third)

    @asynccontextmanager
    async def _lend(self, doing: str) -> AsyncGenerator[Run, None]:
        self._lifeline.check()
        usual = self._settings.slow_call_timeout
        async with self._pool.exclusive(timeout=usual, doing=doing) as thread:

            async def run(function: Callable[[VirConnect], R], doing: str, timeout: float | None = None) -> R:
                self._lifeline.check()
                timeout = usual if timeout is None else timeout
                return await self._watched(thread.call(function, timeout=timeout, doing=doing))

            yield run

    async def _brief(self, function: Callable[[VirConnect], R], doing: str) -> R:
        """Make a call that hangs with its VM and that we can do without."""
        return await self._slow(function, doing, min(_BRIEF_TIMEOUT, self._settings.call_timeout))

    async def _watched(self, call: Awaitable[R]) -> R:
        """Await a call, and declare the host lost when the call says so."""
        try:
            return await call
        except HostLost as error:
            self._lifeline.lose(error.message)
            raise
        except HostUnreachable:
            self._lifeline.check()  # one more connection could not be opened: because the first is gone?
            raise

    def _new_mailbox(self) -> Mailbox:
        overflow = f"host {self._label} sent more events than could be taken"
        return Mailbox(self._heard, partial(self._missed, overflow))

    def _listen(self, node: VirConnect) -> bool:
        node.on_close(self._lifeline.closed_by_libvirt)
        return node.listen(EVENT_KINDS, self._mailbox.post)

    def _quick_stuck(self, reason: str) -> None:
        if self._closed or self._pool.shared:
            self._lifeline.lose(reason)
        elif self._healing is None:
            self._healing = asyncio.create_task(self._heal(reason))

    async def _heal(self, reason: str) -> None:
        """Go on over another connection: one VM that hangs in a call must not cost the others their consoles.

        When the host does not answer there either, it is lost.
        """
        timeout = min(_HEAL_TIMEOUT, self._settings.call_timeout)
        try:
            await self._pool.replace_quick(timeout)
            self._mailbox.close()  # the stuck connection goes on telling events
            self._mailbox = self._new_mailbox()
            await self._pool.quick.call(self._listen, timeout=timeout, doing="tell its events")
        except VirtumancerError:
            self._lifeline.lose(reason)
        else:
            log.warning("%s; going on over another connection", reason)
            self._missed(f"host {self._label} hung in a call")
        finally:
            self._healing = None

    async def _load_ages(self, read: AgeReader) -> None:
        try:
            self._uptimes.load(await read())
            self._ages_wanted = False
        except HypervisorError as error:  # many accounts may not look there; that will not change
            self._ages_wanted = False
            log.debug("host %s does not tell since when its VMs run: %s", self._label, error)
        except (CallTimeout, HostLost) as error:  # asked again with the next listing
            log.debug("host %s does not tell since when its VMs run just now: %s", self._label, error)
        finally:
            self._loading_ages = None

    def _heard(self, raw: RawEvent) -> None:
        change = change_of(raw)
        if change not in _KEEP_THE_XML:
            self._cache.invalidate(raw.uuid)
        self._pauses.note(raw.uuid, change)
        if change is VMChange.STARTED:
            self._uptimes.started(raw.uuid)
        elif has_stopped(raw):  # one that crashed may have kept its process, one that was undefined runs on
            self._uptimes.stopped(raw.uuid, raw.name)
        self._hub.publish(VMEvent(uuid=raw.uuid, name=raw.name, change=change))

    def _missed(self, reason: str) -> None:
        self._cache.invalidate_all()
        self._uptimes.forget()
        self._pauses.forget()
        self._ages_wanted = True
        self._hub.publish(EventsMissed(reason=reason))


def _find(node: VirConnect, name_or_uuid: str) -> VMRef | None:
    """Look for the name first: a VM may be named like another one's UUID."""
    return node.find(name_or_uuid, as_uuid=False) or node.find(name_or_uuid, as_uuid=True)
