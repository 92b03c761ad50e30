"""Every kind of disk and NIC that libvirt knows, as the API shows it."""

import pytest

from virtumancer.contracts import Disk, DiskDriver, DiskTarget, Network, NetworkMAC, NetworkModel, NetworkTarget
from virtumancer_libvirt.vms.hardware import parse_hardware


def disk_of(xml: str) -> Disk:
    [disk] = parse_hardware(f"<domain><devices>{xml}</devices></domain>").disks
    return disk


def nic_of(xml: str) -> Network:
    [nic] = parse_hardware(f"<domain><devices>{xml}</devices></domain>").networks
    return nic


def test_a_file_disk_is_complete() -> None:
    assert disk_of(
        """<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
        <source file='/images/web01.qcow2' index='1'/><target dev='vda' bus='virtio'/></disk>"""
    ) == Disk(
        type="file",
        device="disk",
        driver=DiskDriver("qemu", "qcow2", "qcow2"),
        source={"file": "/images/web01.qcow2", "index": "1"},
        path="/images/web01.qcow2",
        target=DiskTarget("vda", "virtio"),
    )


DISKS = {
    "block": ("<source dev='/dev/vg/web01'/>", {"dev": "/dev/vg/web01"}, "/dev/vg/web01"),
    "dir": ("<source dir='/srv/share'/>", {"dir": "/srv/share"}, "/srv/share"),
    "volume": (
        "<source pool='default' volume='web01.qcow2' mode='host'/>",
        {"pool": "default", "volume": "web01.qcow2", "mode": "host"},
        "default/web01.qcow2",
    ),
    "nvme": (
        """<source type='pci' managed='yes' namespace='1'>
        <address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source>""",
        {"type": "pci", "managed": "yes", "namespace": "1", "address": "0000:01:00.0"},
        "0000:01:00.0/1",
    ),
    "vhostuser": (
        "<source type='unix' path='/run/blk.sock'><reconnect enabled='yes'/></source>",
        {"type": "unix", "path": "/run/blk.sock"},
        "/run/blk.sock",
    ),
    "vhostvdpa": ("<source dev='/dev/vhost-vdpa-0'/>", {"dev": "/dev/vhost-vdpa-0"}, "/dev/vhost-vdpa-0"),
}


@pytest.mark.parametrize("kind", DISKS)
def test_a_disk_has_the_keys_of_its_type(kind: str) -> None:
    xml, source, path = DISKS[kind]
    disk = disk_of(f"<disk type='{kind}'>{xml}<target dev='vda'/></disk>")
    assert (disk.source, disk.path) == ({"file": "", **source}, path)


NETWORK_DISKS = {
    "rbd with three monitors": (
        """<source protocol='rbd' name='pool/web01'><host name='mon1' port='6789'/><host name='mon2' port='6789'/>
        <host name='2001:db8::1' port='6789'/></source>""",
        {"protocol": "rbd", "name": "pool/web01", "host": "mon1:6789,mon2:6789,[2001:db8::1]:6789"},
        "rbd://mon1:6789,mon2:6789,[2001:db8::1]:6789/pool/web01",
    ),
    "rbd without a monitor": (
        "<source protocol='rbd' name='pool/web01'/>",
        {"protocol": "rbd", "name": "pool/web01", "host": ""},
        "rbd:pool/web01",
    ),
    "iscsi": (
        "<source protocol='iscsi' name='iqn.2013-07.com.example:iscsi/2'><host name='san' port='3260'/></source>",
        {"protocol": "iscsi", "name": "iqn.2013-07.com.example:iscsi/2", "host": "san:3260"},
        "iscsi://san:3260/iqn.2013-07.com.example:iscsi/2",
    ),
    "nbd over a unix socket": (
        "<source protocol='nbd' name='export'><host transport='unix' socket='/run/nbd.sock'/></source>",
        {"protocol": "nbd", "name": "export", "host": "/run/nbd.sock"},
        "nbd:///run/nbd.sock/export",
    ),
    "https with a query": (
        """<source protocol='https' name='/iso/debian.iso' query='a=b'><host name='mirror' port='443'/>
        <ssl verify='yes'/></source>""",
        {"protocol": "https", "name": "/iso/debian.iso", "query": "a=b", "host": "mirror:443"},
        "https://mirror:443/iso/debian.iso",
    ),
    "gluster without a port": (
        "<source protocol='gluster' name='vol/web01'><host name='gl1'/></source>",
        {"protocol": "gluster", "name": "vol/web01", "host": "gl1"},
        "gluster://gl1/vol/web01",
    ),
    **{
        protocol: (
            f"<source protocol='{protocol}' name='disk'><host name='store' port='1'/></source>",
            {"protocol": protocol, "name": "disk", "host": "store:1"},
            f"{protocol}://store:1/disk",
        )
        for protocol in ("http", "ftp", "ftps", "tftp", "ssh", "nfs", "vxhs", "sheepdog")
    },
}


@pytest.mark.parametrize("case", NETWORK_DISKS)
def test_a_network_disk_names_its_servers(case: str) -> None:
    xml, source, path = NETWORK_DISKS[case]
    disk = disk_of(f"<disk type='network'>{xml}<target dev='vda'/></disk>")
    assert (disk.source, disk.path) == ({"file": "", **source}, path)


def test_an_empty_cdrom_keeps_the_key_of_its_type() -> None:
    disk = disk_of("<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>")
    assert (disk.device, disk.source, disk.path) == ("cdrom", {"file": ""}, "")


def test_a_disk_without_a_type_is_a_file() -> None:
    assert disk_of("<disk><source file='/a'/><target dev='hda'/></disk>").source == {"file": "/a"}


def test_a_disk_of_a_type_not_yet_known_shows_what_its_source_says() -> None:
    disk = disk_of("<disk type='quantum'><source qubit='7'/><target dev='vda'/></disk>")
    assert (disk.type, disk.source, disk.path) == ("quantum", {"file": "", "qubit": "7"}, "")


def test_a_nic_is_complete() -> None:
    assert nic_of(
        """<interface type='bridge'><mac address='52:54:00:aa:bb:03'/><source bridge='br0'/>
        <target dev='vnet2'/><model type='virtio'/></interface>"""
    ) == Network(
        type="bridge",
        mac=NetworkMAC("52:54:00:aa:bb:03"),
        source={"bridge": "br0"},
        model=NetworkModel("virtio", "virtio"),
        target=NetworkTarget("vnet2"),
    )


_SOCKET = "<source address='192.0.2.1' port='5558'/>"
_PCI = "<address type='pci' domain='0x0000' bus='0x3b' slot='0x02' function='0x1'/>"
NICS = {
    "network": (
        "<source network='default' portgroup='web' portid='p' bridge='virbr0'/>",
        {"network": "default", "portgroup": "web", "portid": "p", "bridge": "virbr0"},
    ),
    "user": ("", {}),
    "ethernet": ("<target dev='tap0' managed='no'/>", {}),
    "direct": ("<source dev='eth0' mode='vepa'/>", {"dev": "eth0", "mode": "vepa"}),
    "internal": ("<source name='isolated'/>", {"name": "isolated"}),
    "hostdev": (f"<source>{_PCI}</source>", {"address": "0000:3b:02.1"}),
    "server": (_SOCKET, {"address": "192.0.2.1", "port": "5558"}),
    "client": (_SOCKET, {"address": "192.0.2.1", "port": "5558"}),
    "mcast": (_SOCKET, {"address": "192.0.2.1", "port": "5558"}),
    "udp": (
        "<source address='192.0.2.1' port='5555'><local address='192.0.2.2' port='5556'/></source>",
        {"address": "192.0.2.1", "port": "5555", "local_address": "192.0.2.2", "local_port": "5556"},
    ),
    "vdpa": ("<source dev='/dev/vhost-vdpa-0'/>", {"dev": "/dev/vhost-vdpa-0"}),
    "vhostuser": (
        "<source type='unix' path='/run/net.sock' mode='server'/>",
        {"type": "unix", "path": "/run/net.sock", "mode": "server"},
    ),
    "null": ("", {}),
    "vds": (
        "<source switchid='s' portid='0' portgroupid='g' connectionid='c'/>",
        {"switchid": "s", "portid": "0", "portgroupid": "g", "connectionid": "c"},
    ),
}


@pytest.mark.parametrize("kind", NICS)
def test_a_nic_has_the_keys_of_its_type(kind: str) -> None:
    xml, source = NICS[kind]
    nic = nic_of(f"<interface type='{kind}'>{xml}</interface>")
    assert (nic.type, nic.source) == (kind, {"bridge": "", **source})


@pytest.mark.parametrize("kind", ["network", "bridge", "direct", "internal", "vdpa"])
def test_a_nic_without_a_source_keeps_the_keys_of_its_type(kind: str) -> None:
    assert set(nic_of(f"<interface type='{kind}'/>").source.values()) == {""}


def test_a_vm_without_devices_has_no_hardware() -> None:
    hardware = parse_hardware("<domain/>")
    assert (hardware.disks, hardware.networks) == ((), ())
