"""What the power states of VMs are called towards people."""

from virtumancer.contracts import VMState

__all__ = ["state_name"]


def state_name(state: VMState) -> str:
    """Call a state as people do."""
    return {VMState.NOSTATE: "without state", VMState.SHUTTING_DOWN: "shutting down", VMState.SHUTOFF: "shut off"}.get(
        state, state.name.lower()
    )
