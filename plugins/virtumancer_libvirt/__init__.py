"""The built-in driver for every hypervisor that libvirt's client library can reach."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import HostDriver
from virtumancer_libvirt.config import LibvirtConfig
from virtumancer_libvirt.driver import LibvirtDriver


@hookimpl
def virtumancer_config() -> type[LibvirtConfig]:
    """Describe the table `[plugins.libvirt]`."""
    return LibvirtConfig


@hookimpl
def virtumancer_host_drivers(config: LibvirtConfig) -> Sequence[HostDriver]:
    """Serve `qemu:///system`, `qemu+ssh://host/system` and the URIs of libvirt's other hypervisors."""
    return (LibvirtDriver(config),)
