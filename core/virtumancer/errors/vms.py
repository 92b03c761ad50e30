"""A VM, and the actions on it."""

from virtumancer.errors.base import Conflict, NotFound
from virtumancer.errors.hosts import CallTimeout

__all__ = ["ActionNotFound", "StateNotReached", "VMNotFound", "WrongPowerState"]


class VMNotFound(NotFound):
    """No VM of this host has this name or UUID."""

    code = "vm-not-found"


class ActionNotFound(NotFound):
    """No plugin offers this action."""

    code = "action-not-found"


class WrongPowerState(Conflict):
    """The VM's power state does not allow this."""

    code = "wrong-power-state"


class StateNotReached(CallTimeout):
    """The action was accepted, but the VM did not reach the state asked for in time; `extra` holds `state`."""

    code = "state-not-reached"
