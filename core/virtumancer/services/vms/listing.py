"""The VMs of all hosts as they were last seen: from memory, from the store, or looked up for this list."""

import asyncio
import hashlib
import secrets
from bisect import bisect_right
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import msgspec

from virtumancer.contracts import VM
from virtumancer.contracts.listings import Source, StaleHost
from virtumancer.errors import CallTimeout, HostUnavailable, VirtumancerError, VMNotFound
from virtumancer.query.query import ParsedQuery
from virtumancer.services.auth import Permissions, Right
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.hosts.vm_lookup import SeenUUID, last_seen, uuid_in
from virtumancer.services.metadata.service import MetadataService
from virtumancer.services.vms.list_item import Observation, VMListItem
from virtumancer.store import StoredVM, VMsRepository

__all__ = ["VMListing", "VMListingService"]

# How long a host may keep a list waiting; its look goes on, and what it brings is there for the next one.
FRESH_TIMEOUT = 5.0
BATCH = 500


class VMListingService:
    """Lists VMs over hosts, as far as the caller may read them."""

    def __init__(self, hosts: HostsService, store: VMsRepository, metadata: MetadataService) -> None:
        self._hosts = hosts
        self._store = store
        self._metadata = metadata
        self._tag = secrets.token_hex(8)

    async def list(
        self, access: Permissions, *, fresh: bool = False, hosts: Collection[str] | None = None
    ) -> "VMListing":
        """Return the list over these hosts, or all; with `fresh` they are looked at now, all at the same time."""
        wanted = set(self._hosts.ids() if hosts is None else hosts)
        readable = sorted(host for host in self._hosts.ids() if host in wanted and access.within_host(Right.READ, host))
        sessions = [self._hosts.session(host) for host in readable]
        looks = await asyncio.gather(*(_look(session) for session in sessions)) if fresh else [None] * len(sessions)
        return VMListing(
            [
                HostPart(
                    session,
                    self._store,
                    self._metadata,
                    access.vms_with(Right.READ, session.host.id),
                    live=fresh,
                    failure=failure,
                )
                for session, failure in zip(sessions, looks, strict=True)
                if self._hosts.has(session)
            ],
            f"{self._tag} {self._metadata.revision}" if access.everywhere(Right.READ) else "",
        )

    async def one(self, host_id: str, said: str, *, fresh: bool = False) -> VMListItem:
        """Return one VM as it was last seen; its host is looked at if that may have changed since, or with `fresh`.

        Raises `HostNotFound`, `VMNotFound`.
        """
        session = self._hosts.session(host_id)
        live = fresh or not session.in_step
        failure = await _look(session) if live else None
        if session.inventory.seen is None:
            known = await self._store.find(host_id, said, uuid_in(said))
            if known and isinstance(said, SeenUUID) and known.uuid != said:
                known = None
        else:
            known = last_seen(session.inventory, said)
        only = frozenset({known.uuid} if known else ())
        vms = HostPart(session, self._store, self._metadata, only, live=live, failure=failure)
        await vms.load()
        self._hosts.session(host_id)  # it may have been removed meanwhile
        for entry in vms.entries():
            return entry
        raise VMNotFound(f"there is no VM {said[:80]!r} on host {host_id!r}")

    def live(self, host: str, vms: Iterable[VM]) -> tuple[VMListItem, ...]:
        """Return the VMs of a host that was looked at just now as entries of a list."""
        place, said = Observation(host, datetime.now(UTC), "live", stale=False), self._metadata.of_vm
        return tuple([VMListItem(vm, place, said(host, vm.uuid)) for vm in vms])


class VMListing:
    """The VMs of some hosts, for one request; `tag` stands for what they depend on beside the looks at the hosts.

    It is empty for who may not read everything: that something else changed is not theirs to know.
    """

    def __init__(self, hosts: Sequence["HostPart"], tag: str) -> None:
        self._hosts = hosts
        self._tag = tag
        self.stale_hosts = tuple(host.trouble for host in hosts if host.trouble is not None)

    async def load(self) -> None:
        """Read what has to be read, so that nothing can fail any more."""
        for host in self._hosts:
            await host.load()

    async def digest(self) -> str:
        """Return what tells this list, once loaded, from any other; with a tag it need not look at each VM."""
        if not self._tag:
            content = hashlib.blake2b(msgspec.json.encode(self.stale_hosts), digest_size=16)
            async for batch in self._scan(None):
                content.update(msgspec.json.encode(batch))
            return content.hexdigest()
        facts = [self._tag, *(host.facts() for host in self._hosts)]
        return hashlib.blake2b(msgspec.json.encode(facts), digest_size=16).hexdigest()

    async def all(self) -> list[VMListItem]:
        """Return everything."""
        return [entry async for batch in self._scan(None) for entry in batch]

    async def page(self, asked: ParsedQuery) -> tuple[list[VMListItem], str | None]:
        """Return what was asked for, and the cursor of the next page."""
        if not asked.in_key_order:
            return asked.page(await self.all())
        found: list[VMListItem] = []
        async for batch in self._scan(asked):
            found += batch
            if asked.limit is not None and len(found) > asked.limit:
                break
        return asked.cut(found)

    async def batches(self, asked: ParsedQuery) -> AsyncIterator[Sequence[VMListItem]]:
        """Go through what was asked for, without a limit, so many at a time."""
        if asked.in_key_order:
            async for batch in self._scan(asked):
                yield batch
            return
        found, _ = await self.page(asked)
        for start in range(0, len(found), BATCH):
            yield found[start : start + BATCH]

    async def _scan(self, asked: ParsedQuery | None) -> AsyncIterator[list[VMListItem]]:
        """Go through the VMs that fit, in the order of their key; others have their turn in between."""
        after_host, after_vm = (value for (value,) in asked.after) if asked and asked.after else ("", "")
        fits = asked.fits if asked else None
        for host in self._hosts:
            if host.id < after_host:
                continue
            await host.load()
            entries = host.entries(after_vm if host.id == after_host else "")
            while batch := list(islice(entries, BATCH)):
                yield batch if fits is None else [entry for entry in batch if fits(entry)]
                await asyncio.sleep(0)


class HostPart:
    """What is known of the VMs of one host: `only` those of these UUIDs, unless it is None."""

    def __init__(
        self,
        session: HostSession,
        store: VMsRepository,
        metadata: MetadataService,
        only: frozenset[str] | None,
        *,
        live: bool,
        failure: VirtumancerError | None,
    ) -> None:
        self.id = session.host.id
        self.trouble = _trouble(session, failure)
        self._seen = session.inventory.seen
        self._store = store
        self._metadata = metadata
        self._only = only
        self._live = live and failure is None
        self._stored: tuple[StoredVM, ...] | None = None

    async def load(self) -> None:
        """Read the rows of a host that this process has never seen."""
        if self._seen is None and self._stored is None:
            rows = await self._store.stored(self.id)
            readable = [row for row in rows if self._only is None or row.vm.uuid in self._only]
            self._stored = tuple(sorted(readable, key=lambda row: row.vm.uuid))

    def facts(self) -> list[object]:
        """Return what the entries depend on."""
        rows = None if self._stored is None else [(row.vm.uuid, row.written_at) for row in self._stored]
        return [self.id, self.trouble, self._live, self._seen.tag if self._seen else "", rows]

    def entries(self, after: str = "") -> Iterator[VMListItem]:
        """Go through the VMs, once loaded, by UUID from behind this one."""
        seen, said = self._seen, self._metadata.of_vm
        if seen is None:
            for row in self._stored or ():
                if row.vm.uuid > after:
                    yield VMListItem(row.vm, self._place(row.written_at), said(self.id, row.vm.uuid))
            return
        place = self._place(seen.observed_at)
        vms = seen.ordered if self._only is None else [seen.vms[uuid] for uuid in sorted(self._only & seen.vms.keys())]
        for vm in vms[bisect_right(vms, after, key=lambda vm: vm.uuid) :]:
            yield VMListItem(vm, place, said(self.id, vm.uuid))

    def _place(self, at: datetime) -> Observation:
        source: Source = "store" if self._seen is None else "live" if self._live else "cache"
        return Observation(self.id, at, source, self.trouble is not None)


async def _look(session: HostSession) -> VirtumancerError | None:
    """Look at a host, and return why that was not possible."""
    try:
        session.require_connection()
    except HostUnavailable as error:
        return error
    look = session.inventory.start_refresh()
    timeout = min(FRESH_TIMEOUT, session.call_timeout)
    await asyncio.wait({look}, timeout=timeout)
    if not look.done():
        return CallTimeout(f"host {session.host.id!r} did not list its VMs within {timeout:g} s")
    if look.cancelled():
        return HostUnavailable(f"host {session.host.id!r} was disconnected")
    failure = look.exception()
    if failure is not None and not isinstance(failure, VirtumancerError):
        raise failure
    return failure


def _trouble(session: HostSession, failure: VirtumancerError | None) -> StaleHost | None:
    """Say why what is known of a host is stale; None when it is not."""
    inventory = session.inventory
    if failure is None:
        try:
            session.require_connection()
        except HostUnavailable as error:
            failure = error
    failure = failure or inventory.failure
    if failure is not None:
        return StaleHost(session.host.id, failure.code, failure.message)
    if inventory.behind:
        return StaleHost(session.host.id, "", "what changed there has not been looked at yet")
    if inventory.seen and not inventory.seen.complete:
        return StaleHost(session.host.id, "", "the host did not tell of all its VMs; the others are as last seen")
    return None
