"""Whether an action makes sense: on this host, and in the state that a VM is in."""

from virtumancer.contracts import HostAction, HostConnection, VMAction, VMRef, ability_name
from virtumancer.errors import AbilityMissing, WrongPowerState
from virtumancer.services.hosts.power_states import state_name

__all__ = ["check_need", "check_state", "goal_reached", "host_supports", "state_allows"]


def host_supports(action: VMAction | HostAction, connection: HostConnection) -> bool:
    """Say whether a host has what an action needs."""
    return action.needs is None or connection.ability(action.needs) is not None


def check_need(action: VMAction | HostAction, connection: HostConnection, host_id: str) -> None:
    """Raise `AbilityMissing` when it has not."""
    if action.needs is not None and not host_supports(action, connection):
        needed = ability_name(action.needs)
        raise AbilityMissing(f"host {host_id!r} has no {needed}, which {action.name} needs", ability=needed)


def state_allows(action: VMAction, vm: VMRef) -> bool:
    """Say whether a VM is in a state that an action makes sense in."""
    return action.states is None or vm.state in action.states


def goal_reached(action: VMAction, vm: VMRef) -> bool:
    """Say whether what an action is for is the case already."""
    return action.goal is not None and vm.state in action.goal


def check_state(action: VMAction, vm: VMRef, host_id: str) -> None:
    """Raise `WrongPowerState` when a VM is in no such state."""
    if action.states is None or state_allows(action, vm):
        return
    allowed = ", ".join(sorted(state_name(state) for state in action.states))
    raise WrongPowerState(
        f"VM {vm.name!r} on host {host_id!r} is {state_name(vm.state)}; {action.name} needs it to be one of: {allowed}",
        state=int(vm.state),
    )
