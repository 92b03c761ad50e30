"""VMs: listing them, and looking closer at one."""

from weakref import WeakKeyDictionary

from virtumancer.contracts import (
    VM,
    HardwareInfo,
    HostState,
    VMRef,
    VMRow,
    VMStats,
)
from virtumancer.errors import VMNotFound
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.hosts.vm_lookup import SeenUUID, find_vm, last_seen, uuid_in
from virtumancer.services.runtime.encoded_list import EncodedList
from virtumancer.store import VMIdentity, VMsRepository

__all__ = ["VMsService"]


class VMsService:
    """Reads VMs through the session of their host."""

    def __init__(self, hosts: HostsService, store: VMsRepository) -> None:
        self._hosts = hosts
        self._store = store
        self._rows: WeakKeyDictionary[HostSession, tuple[int, EncodedList[VMRow]]] = WeakKeyDictionary()

    async def list(self, host_id: str) -> EncodedList[VM]:
        """Look at the host now; the stored rows are in step when this returns."""
        session = self._hosts.session(host_id)
        session.require_connection()
        return await session.inventory.refresh()

    async def rows(self, host_id: str) -> EncodedList[VMRow]:
        """Return the stored VMs, without asking the host; they are read anew when they may have changed."""
        session, revision = self._hosts.session(host_id), self._store.revision
        known = self._rows.get(session)
        if known and known[0] == revision:
            return known[1]
        found = EncodedList(await self._store.rows(host_id))
        if revision is not None and self._store.revision == revision:
            self._rows[session] = revision, found
        return found

    async def stats(self, host_id: str, name: str) -> VMStats:
        """Read the counters of one VM; asks for its UUID only when that may have changed since the last look."""
        session = self._hosts.session(host_id)
        seen = last_seen(session.inventory, name) if session.in_step else None
        uuid = name if isinstance(name, SeenUUID) else seen.uuid if seen else ""
        if uuid and (stats := await _sampled(session, uuid)):
            return stats
        vm = await self.find(host_id, name)
        stats = await _sampled(session, vm.uuid)
        if stats is None:
            raise VMNotFound(f"VM {name!r} of host {host_id!r} is gone")
        return stats

    async def hardware(self, host_id: str, name: str) -> HardwareInfo:
        """Describe the hardware of one VM."""
        vm = await self.find(host_id, name)
        return await self._hosts.session(host_id).call(lambda connection: connection.hardware(vm.uuid))

    async def find(self, host_id: str, name: str) -> VMRef:
        """Look a VM up by UUID, or else by name."""
        return await find_vm(self._hosts.session(host_id), name)

    async def look_up(self, host_id: str, name: str) -> VMIdentity:
        """Look a VM up by UUID, or else by name; its host is asked only when that may have changed since the last look.

        For a VM that is there it costs the same as for one that is not, so that how long it takes tells nobody which.
        """
        session = self._hosts.session(host_id)
        if session.in_step:
            known = last_seen(session.inventory, name)
            if known is None:
                raise VMNotFound(f"there is no VM {name[:80]!r} on host {host_id!r}")
            return known
        vm = await self.find(host_id, name)
        return VMIdentity(vm.uuid, vm.name)

    async def identify(self, host_id: str, name: str) -> VMIdentity:
        """Look a VM up by UUID, or else by name, among the stored ones; on the host only if it is not there."""
        session = self._hosts.session(host_id)
        if isinstance(name, SeenUUID):
            return VMIdentity(name, name)
        uuid = uuid_in(name)
        found = await self._store.find(host_id, name, uuid)
        connected = session.state in {HostState.CONNECTED, HostState.DEGRADED}
        # The VM that has the UUID which this one is named like may be too new to be stored.
        doubtful = connected and uuid and found and found.uuid not in {name, uuid}
        if found and not doubtful:
            return found
        if not connected:
            raise VMNotFound(f"there is no VM {name[:80]!r} among those last seen on host {host_id!r}")
        return await self.look_up(host_id, name)


async def _sampled(session: HostSession, uuid: str) -> VMStats | None:
    return (await session.require_connection().sample([uuid])).get(uuid)
