"""Which consoles a VM has, and whether one of them can be opened now."""

from virtumancer.contracts import ConsoleOffer, HostConnection, SupportsConsoles, VMRef
from virtumancer.errors import AbilityMissing, ConsoleNotFound, WrongPowerState
from virtumancer.services.hosts.session import HostSession

__all__ = ["offers_of", "require_offer", "require_running"]


async def offers_of(host: HostSession, vm: VMRef) -> tuple[ConsoleOffer, ...]:
    """Ask the host. Raises `AbilityMissing`."""
    return tuple(await host.call(lambda c: _with_consoles(c).consoles(vm.uuid)))


async def require_offer(host: HostSession, vm: VMRef, kind: str, device: str = "") -> None:
    """Raise `ConsoleNotFound` for a console that the VM has not, or that cannot be opened though the VM runs."""
    found = {offer.kind: offer for offer in await offers_of(host, vm)}
    if kind not in found:
        others = ", ".join(found) or "none"
        raise ConsoleNotFound(f"VM {vm.name!r} has no {kind} console; it has: {others}")
    if device and device not in found[kind].devices:
        devices = ", ".join(found[kind].devices) or "none to choose from"
        raise ConsoleNotFound(f"VM {vm.name!r} has no {kind} console {device[:80]!r}; it has: {devices}")
    if not found[kind].available and vm.is_active:
        raise ConsoleNotFound(f"the {kind} console of VM {vm.name!r} is not available: {found[kind].reason}")


def require_running(vm: VMRef, host_id: str) -> None:
    """Raise `WrongPowerState` for a VM that does not run."""
    if not vm.is_active:
        raise WrongPowerState(
            f"VM {vm.name!r} on host {host_id!r} is not running; start it, or connect with ?follow=1 to wait for that",
            state=int(vm.state),
        )


def _with_consoles(connection: HostConnection) -> SupportsConsoles:
    served = connection.ability(SupportsConsoles)
    if served is None:
        raise AbilityMissing("this host's driver reaches no consoles", ability="consoles")
    return served
