"""Actions on VMs that are stopped for a while: pause, resume, wakeup, and dropsave for a saved memory."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import VMAction
from virtumancer_suspend.actions import suspend_actions

__all__ = ["virtumancer_vm_actions"]


@hookimpl
def virtumancer_vm_actions() -> Sequence[VMAction]:
    """Offer them, on hosts of libvirt."""
    return suspend_actions()
