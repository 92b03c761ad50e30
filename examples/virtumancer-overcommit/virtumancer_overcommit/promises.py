"""What a host has, and what it has promised to the VMs that run."""

from msgspec import Struct

from virtumancer.contracts import HostConnection, VMState

OFF = frozenset({VMState.SHUTOFF, VMState.CRASHED})


class Promises(Struct, frozen=True):
    """CPUs and memory (in KiB) of one host and of its VMs; `reason` says why they are not known."""

    host: str
    cpus: int = 0
    promised_cpus: int = 0
    memory: int = 0
    promised_memory: int = 0
    full: bool = False
    reason: str = ""


async def promises_of(host_id: str, connection: HostConnection, limit: float) -> Promises:
    """Ask a host; `limit` is how many vCPUs for each CPU make it full."""
    info = await connection.info()
    running = [vm for vm in await connection.list_vms() if vm.state not in OFF]
    cpus = sum(vm.vcpu for vm in running)
    memory = sum(vm.max_mem for vm in running)
    full = cpus >= limit * info.cpu or memory > info.memory
    return Promises(host_id, info.cpu, cpus, info.memory, memory, full)
