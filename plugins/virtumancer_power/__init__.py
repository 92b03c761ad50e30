"""The five power actions of the base API: start, shutdown, reboot, forceoff, forcereset."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import VMAction
from virtumancer_power.actions import power_actions

__all__ = ["virtumancer_vm_actions"]


@hookimpl
def virtumancer_vm_actions() -> Sequence[VMAction]:
    """Offer the power actions."""
    return power_actions()
