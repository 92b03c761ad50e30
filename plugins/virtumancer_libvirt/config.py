"""The table `[plugins.libvirt]`: which hosts may be added at all."""

from typing import Annotated

from msgspec import Meta

from virtumancer.contracts import PluginConfig

__all__ = ["LibvirtConfig"]


class LibvirtConfig(PluginConfig, frozen=True):
    """What the URIs of hosts may hold; whoever may add hosts can go no further."""

    schemes: Annotated[
        tuple[str, ...],
        Meta(description='URI schemes that hosts may have, with their transport, as "qemu+ssh"; empty for all.'),
    ] = ()
    local_files: Annotated[
        bool, Meta(description="Whether `test:///PATH` may read a file of this machine, in the name of the server.")
    ] = False
