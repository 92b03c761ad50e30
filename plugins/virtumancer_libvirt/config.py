"""The table `[plugins.libvirt]`: which hosts may be added at all."""

from typing import Annotated

from msgspec import Meta

from virtumancer.contracts import PluginConfig

__all__ = ["LibvirtConfig"]


class LibvirtConfig(PluginConfig, frozen=True):
    """What the URIs of hosts may hold; whoever may add hosts can go no further."""

    schemes: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[a-z]+(\+(ssh|tls|tcp|unix))?\Z")], ...],
        Meta(description='URI schemes that hosts may have, with their transport, as "qemu+ssh"; empty for all.'),
    ] = ()
    local_files: Annotated[
        bool, Meta(description="Whether `test:///PATH` may read a file of the machine that libvirt runs on.")
    ] = False
