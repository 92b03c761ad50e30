"""The built-in driver for every hypervisor that libvirt's client library can reach."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import HostDriver
from virtumancer_libvirt.driver import LibvirtDriver


@hookimpl
def virtumancer_host_drivers() -> Sequence[type[HostDriver]]:
    """Serve `qemu:///system`, `qemu+ssh://host/system` and the URIs of libvirt's other hypervisors."""
    return (LibvirtDriver,)
