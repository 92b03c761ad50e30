"""The VMs of one host as last seen: one shared fetch, one transaction for what changed."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial

from msgspec import Struct, field, structs

from virtumancer.contracts import VM, PartialListing
from virtumancer.errors import VirtumancerError
from virtumancer.services.runtime.encoded_list import EncodedList
from virtumancer.store import VMIdentity, VMsRepository

__all__ = ["Inventory", "InventorySnapshot"]


class InventorySnapshot(Struct, eq=False, dict=True):
    """The VMs of a host by UUID as they were last seen, and when; `tag` tells this look from any other.

    In one that is not `complete`, the VMs that the host did not tell of are as an earlier look saw them.
    """

    vms: Mapping[str, VM]
    observed_at: datetime
    generation: int
    complete: bool
    tag: str = field(default_factory=partial(secrets.token_hex, 8))

    @cached_property
    def ordered(self) -> tuple[VM, ...]:
        """The VMs in the order of their UUIDs."""
        return tuple(sorted(self.vms.values(), key=lambda vm: vm.uuid))


class _Difference(Struct):
    """What a new look has that the stored rows do not."""

    changed: list[VM]
    gone: list[str]
    news: list[str]


class Inventory:
    """Fetches the VMs of a host, keeps the stored rows in step, and says when something is new.

    `fetch` makes the bulk call; there is one at a time. Callers that arrive while it is under way share it, unless
    `touch` was called after it began: then they share the next one, so that nobody reads the state before a change
    already made.
    """

    def __init__(
        self,
        host_id: str,
        store: VMsRepository,
        fetch: Callable[[], Awaitable[Sequence[VM]]],
        on_news: Callable[[Collection[str]], None],
    ) -> None:
        self._host_id = host_id
        self._store = store
        self._fetch = fetch
        self._on_news = on_news
        self._generation = 0
        self._running: tuple[int, asyncio.Task[EncodedList[VM]]] | None = None
        self._next: tuple[int, asyncio.Task[EncodedList[VM]]] | None = None
        self._rows: dict[str, VM] | None = None
        self._uuids: dict[str, str] = {}
        self.seen: InventorySnapshot | None = None
        """The last look that succeeded; None until the first one."""
        self.failure: VirtumancerError | None = None
        """Why the last look failed; None when it did not."""

    @property
    def behind(self) -> bool:
        """Whether something is known to have changed since the last look, or there was none."""
        return self.seen is None or self.seen.generation != self._generation

    def touch(self) -> None:
        """Note that something changed: a fetch that is under way may not have seen it."""
        self._generation += 1

    def knows(self, uuid: str) -> bool:
        """Say whether a VM had this UUID at the last look."""
        return self.seen is not None and uuid in self.seen.vms

    def identity(self, uuid: str) -> VMIdentity | None:
        """Return the VM that had this UUID at the last look."""
        vm = self.seen.vms.get(uuid) if self.seen else None
        return VMIdentity(uuid, vm.name) if vm else None

    def uuid_of(self, name: str) -> str | None:
        """Return the UUID that this name had at the last look."""
        return self._uuids.get(name)

    async def refresh(self) -> EncodedList[VM]:
        """Look at the host now; when this returns, the stored rows are in step."""
        return await asyncio.shield(self.start_refresh())

    def start_refresh(self) -> asyncio.Task[EncodedList[VM]]:
        """Return the fetch to share, started if need be. Its outcome belongs to whoever awaits it."""
        for shared in (self._running, self._next):
            if shared and shared[0] == self._generation and not shared[1].done():
                return shared[1]
        if self._next and not self._next[1].done():
            # The waiting one has not looked yet, be the one before it done or not: it will see this change too.
            self._next = (self._generation, self._next[1])
            return self._next[1]
        before = self._running[1] if self._running and not self._running[1].done() else None
        task = asyncio.create_task(self._refresh(before), name=f"refresh {self._host_id}")
        task.add_done_callback(_retrieve)
        if before:
            self._next = (self._generation, task)
        else:
            self._running = (self._generation, task)
        return task

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = [shared[1] for shared in (self._running, self._next) if shared]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self, before: asyncio.Task[EncodedList[VM]] | None) -> EncodedList[VM]:
        if before:
            await asyncio.wait({before})
            self._running, self._next = self._next, None
        generation, began = self._generation, datetime.now(UTC)
        try:
            told = await self._fetch()
            found = await self._sync(told)
        except VirtumancerError as error:
            self.failure = error
            raise
        self.failure = None
        self.seen = InventorySnapshot(found, began, generation, complete=not isinstance(told, PartialListing))
        vms = tuple(found.values())
        self._uuids = {vm.name: vm.uuid for vm in vms}
        return EncodedList(vms)

    async def _sync(self, told: Sequence[VM]) -> dict[str, VM]:
        """Bring the rows in step; a look that failed never gets here, and one that is not complete deletes nothing."""
        rows = await self._store.known(self._host_id) if self._rows is None else self._rows
        found = {vm.uuid: structs.replace(vm, db_id=rows[vm.uuid].db_id) if vm.uuid in rows else vm for vm in told}
        if isinstance(told, PartialListing):
            found = rows | found
        difference = _compare(rows, found)
        if difference.changed or difference.gone:
            self._rows = None  # writing may fail or be cancelled: until it is done nobody knows what is stored
            ids = await self._store.apply(self._host_id, difference.changed, difference.gone)
            for uuid, db_id in ids.items():
                found[uuid] = structs.replace(found[uuid], db_id=db_id)
        self._rows = found
        if difference.news:
            self._on_news(difference.news)
        return found


def _compare(known: dict[str, VM], found: dict[str, VM]) -> _Difference:
    gone = [uuid for uuid in known if uuid not in found]
    difference = _Difference([], gone, [*gone])
    for uuid, vm in found.items():
        row = known.get(uuid)
        if row is None:
            difference.changed.append(vm)
            difference.news.append(uuid)
        # Where what was last known is known now, that may be the only change for long.
        elif vm != row and ((row.last_known and not vm.last_known) or not _same_but_counters(vm, row)):
            difference.changed.append(vm)
            if not _same_but_balloon(vm, row):
                difference.news.append(uuid)
    return difference


def _same_but_counters(vm: VM, row: VM) -> bool:
    """Counters move with every look at a running VM; they make neither a row to write nor news to announce."""
    return structs.replace(row, cpu_time=vm.cpu_time, uptime=vm.uptime, last_known=vm.last_known) == vm


def _same_but_balloon(vm: VM, row: VM) -> bool:
    """A guest's balloon moves by itself too: its row is written, but nobody is told to fetch everything again.

    Nor when it is learned late since when it is paused.
    """
    return _same_but_counters(vm, structs.replace(row, memory=vm.memory, state_since=vm.state_since))


def _retrieve(task: asyncio.Task[EncodedList[VM]]) -> None:
    """Mark a failure as seen even when its last waiter was cancelled; whoever still waits gets it all the same."""
    if not task.cancelled():
        task.exception()
