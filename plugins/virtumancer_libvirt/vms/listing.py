"""All VMs of a host as the API shows them, put together from bulk calls and what is known about each."""

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType

from virtumancer.contracts import VM, VMState
from virtumancer_libvirt.binding.connection import LISTED, Record, VirConnect, as_state
from virtumancer_libvirt.vms.bulk import Look
from virtumancer_libvirt.vms.chunks import Chunk
from virtumancer_libvirt.vms.definition import UNREADABLE, Definition
from virtumancer_libvirt.vms.looking import look_at
from virtumancer_libvirt.vms.pauses import Pauses, pause_reason
from virtumancer_libvirt.vms.uptime import Uptimes

__all__ = ["Overview", "Snapshot", "build_vms", "read_records", "take_overview"]


_KEYS = {
    "state": "state.state",
    "max_mem": "balloon.maximum",
    "memory": "balloon.current",
    "vcpu": "vcpu.current",
    "cpu_time": "cpu.time",
}


# What has to be told of a VM that is active or not, and whose number of vCPUs is known already or not.
_NEEDED = {
    (active, fixed): frozenset(_KEYS.values())
    - ({"vcpu.current"} if fixed else set())
    - (set() if active else {"cpu.time"})
    for active in (False, True)
    for fixed in (False, True)
}


_STOPPED = frozenset({VMState.PAUSED, VMState.PMSUSPENDED, VMState.CRASHED})


class Overview(Struct, frozen=True):
    """Which VMs a host has, which of them are transient, start with it, and have saved memory."""

    uuids: list[str]
    transient: frozenset[str] = frozenset()
    autostart: frozenset[str] = frozenset()
    saved: frozenset[str] = frozenset()


class Snapshot(Struct, frozen=True):
    """What the host's bulk calls told."""

    records: list[Record]
    overview: Overview


def take_overview(node: VirConnect) -> Overview:
    """Make the four round trips of a listing that tell which VMs there are."""
    uuids = node.uuids()
    transient, autostart, saved = node.marked()
    return Overview(uuids=uuids, transient=transient, autostart=autostart, saved=saved)


def read_records(node: VirConnect, look: Look, chunk: Chunk) -> list[Record]:
    """Read a chunk in one round trip."""
    return look_at(node, look, chunk, LISTED)


def build_vms(
    snapshot: Snapshot,
    definitions: Mapping[str, Definition | None],
    uptimes: Uptimes,
    last: Mapping[str, VM],
    pauses: Pauses,
) -> list[VM]:
    """Put the listing together; only a VM of which the host said meanwhile that it is gone is left out."""
    return [
        _vm(record, definition, snapshot.overview, uptimes, last.get(record.uuid), pauses)
        for record in snapshot.records
        if (definition := definitions.get(record.uuid, UNREADABLE)) is not None
    ]


def _vm(
    record: Record, definition: Definition, overview: Overview, uptimes: Uptimes, last: VM | None, pauses: Pauses
) -> VM:
    """A value that a busy VM did not tell is the last known one, or else the configured one."""
    values, uuid, active = record.values, record.uuid, record.active
    max_mem: int = values.get("balloon.maximum") or (last.max_mem if last else definition.max_mem)
    configured = last.vcpu if last and not definition.vcpus_fixed else definition.vcpu
    vcpu: int = values.get("vcpu.current") or configured
    # The CPU time of a VM that does not run may be nonsense where the host has no cgroups.
    cpu_time: int = values.get("cpu.time", last.cpu_time if last else 0) if active else 0
    memory: int = values.get("balloon.current") or (last.memory if last else definition.memory)
    if definition.memory_only_here and not active:
        memory = definition.memory
    described = last if last and not definition.readable else definition
    told: int | None = values.get("state.state")
    state = as_state(told) if told is not None else last.state if last else VMState.NOSTATE
    return VM(
        id=max(0, record.id),
        name=record.name,
        state=state,
        max_mem=max_mem,
        memory=memory,
        vcpu=vcpu,
        cpu_time=cpu_time,
        uptime=uptimes.of(uuid, record.name) if active else -1,
        persistent=uuid not in overview.transient,
        autostart=uuid in overview.autostart,
        graphics=described.graphics,
        uuid=uuid,
        description=described.description,
        vcpu_count=vcpu,
        memory_bytes=max_mem * 1024,
        cpu_model=described.cpu_model,
        cpu_topology_json=described.cpu_topology_json,
        last_known=_last_known(record, definition, active=active),
        managed_save=uuid in overview.saved,
        state_reason=_reason(state, values),
        state_since=pauses.since(uuid) if active and state in _STOPPED else None,
    )


def _reason(state: VMState, values: Mapping[str, int]) -> str:
    number = values.get("state.reason") if state is VMState.PAUSED else None
    return "" if number is None else pause_reason(number)


def _last_known(record: Record, definition: Definition, *, active: bool) -> tuple[str, ...] | UnsetType:
    """Name what the VM did not tell just now."""
    needed = _NEEDED[active, definition.vcpus_fixed]
    if not record.unanswered and needed <= record.values.keys():  # as nearly always
        return UNSET
    missing = {name for name, key in _KEYS.items() if key in needed and key not in record.values}
    if record.unanswered:  # libvirt gives what it was told last of the guest's balloon
        missing.add("memory")
    return tuple(sorted(missing)) or UNSET
