"""Node files for libvirt's test driver, which is libvirt's real API without a daemon."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_NODE = """<node>
<cpu><mhz>2400</mhz><model>x86_64</model><active>8</active><nodes>1</nodes><sockets>2</sockets><cores>2</cores>
<threads>2</threads></cpu><memory>16777216</memory>{domains}</node>"""

_DOMAIN = """<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
<name>{name}</name><uuid>{uuid}</uuid><description>{description}</description>
<memory unit='MiB'>1024</memory><currentMemory unit='MiB'>512</currentMemory><vcpu>2</vcpu>
<os><type>hvm</type></os>{cpu}<devices>
<disk type='file' device='disk'><source file='/images/{name}.qcow2'/><target dev='vda' bus='virtio'/></disk>
<interface type='network'><source network='default'/><target dev='tap-{name}'/></interface>
{graphics}</devices><test:runstate>{state}</test:runstate></domain>"""


class Guest(NamedTuple):
    name: str
    state: int = 1
    description: str = ""
    graphics: Sequence[str] = ()
    cpu: str = ""

    @property
    def uuid(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name))

    def xml(self) -> str:
        graphics = "".join(f"<graphics type='{kind}' autoport='yes'/>" for kind in self.graphics)
        return _DOMAIN.format(
            name=self.name,
            uuid=self.uuid,
            description=self.description,
            cpu=self.cpu,
            graphics=graphics,
            state=self.state,
        )


def write_node(file: Path, guests: Sequence[Guest]) -> str:
    """Write a node file and return its URI."""
    file.write_text(_NODE.format(domains="".join(guest.xml() for guest in guests)))
    return f"test://{file}"
