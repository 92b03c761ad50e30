"""A VM's disks and NICs out of its XML, every kind that libvirt knows."""

from collections.abc import Mapping

from virtumancer.contracts import (
    Disk,
    DiskDriver,
    DiskTarget,
    HardwareInfo,
    Network,
    NetworkMAC,
    NetworkModel,
    NetworkTarget,
)
from virtumancer_libvirt.binding.domain_xml import Element, attribute, parse_xml

__all__ = ["parse_hardware"]

_DISK_KEYS: Mapping[str, tuple[str, ...]] = {
    "file": (),
    "block": ("dev",),
    "dir": ("dir",),
    "network": ("protocol", "name", "host"),
    "volume": ("pool", "volume"),
    "nvme": ("address", "namespace"),
    "vhostuser": ("path",),
    "vhostvdpa": ("dev",),
}
"""The keys of `source` that every disk of a type has beside `file`, empty when absent."""

_NIC_KEYS: Mapping[str, tuple[str, ...]] = {
    "network": ("network",),
    "bridge": (),
    "user": (),
    "ethernet": (),
    "direct": ("dev", "mode"),
    "internal": ("name",),
    "hostdev": ("address",),
    "server": ("address", "port"),
    "client": ("address", "port"),
    "mcast": ("address", "port"),
    "udp": ("address", "port"),
    "vdpa": ("dev",),
    "vhostuser": ("path", "mode"),
    "null": (),
    "vds": ("switchid", "portgroupid"),
}
"""The same for NICs, beside `bridge`."""


def parse_hardware(document: str) -> HardwareInfo:
    """Read the disks and NICs of a domain's XML."""
    domain = parse_xml(document)
    return HardwareInfo(
        disks=tuple(_disk(disk) for disk in domain.iterfind("devices/disk")),
        networks=tuple(_nic(nic) for nic in domain.iterfind("devices/interface")),
    )


def _disk(disk: Element) -> Disk:
    kind = attribute(disk, "type") or "file"
    driver, target = disk.find("driver"), disk.find("target")
    driver_type = attribute(driver, "type")
    source = _source(disk.find("source"), ("file", *_DISK_KEYS.get(kind, ())))
    return Disk(
        type=kind,
        device=attribute(disk, "device") or "disk",
        driver=DiskDriver(driver_name=attribute(driver, "name"), driver_type=driver_type, type=driver_type),
        source=source,
        path=_path(kind, source),
        target=DiskTarget(dev=attribute(target, "dev"), bus=attribute(target, "bus")),
    )


def _nic(nic: Element) -> Network:
    kind = attribute(nic, "type")
    model = attribute(nic.find("model"), "type")
    return Network(
        type=kind,
        mac=NetworkMAC(address=attribute(nic.find("mac"), "address")),
        source=_source(nic.find("source"), ("bridge", *_NIC_KEYS.get(kind, ()))),
        model=NetworkModel(model_type=model, type=model),
        target=NetworkTarget(dev=attribute(nic.find("target"), "dev")),
    )


def _source(source: Element | None, keys: tuple[str, ...]) -> dict[str, str]:
    """Flatten a source: the keys of its type, its own attributes, and what its children say in one line each."""
    flat = dict.fromkeys(keys, "")
    if source is None:
        return flat
    flat.update({str(name): str(value) for name, value in source.attrib.items()})
    hosts = [_host(host) for host in source.iterfind("host")]
    if hosts:
        flat["host"] = ",".join(hosts)
    address = source.find("address")
    if address is not None:
        flat["address"] = _pci(address)
    local = source.find("local")
    if local is not None:
        flat |= {"local_address": attribute(local, "address"), "local_port": attribute(local, "port")}
    return flat


def _host(host: Element) -> str:
    """Write one server of a network disk as `name:port`, or the path of its unix socket."""
    name, port = attribute(host, "name"), attribute(host, "port")
    if not name:
        return attribute(host, "socket")
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{port}" if port else name


def _pci(address: Element) -> str:
    """Write a device's address as `0000:01:00.0`, as everybody does."""
    parts = (("domain", 4), ("bus", 2), ("slot", 2), ("function", 1))
    domain, bus, slot, function = (_hex(attribute(address, name), width) for name, width in parts)
    return f"{domain}:{bus}:{slot}.{function}"


def _hex(number: str, width: int) -> str:
    digits = number.lower().removeprefix("0x").lstrip("0")
    return digits.rjust(width, "0")


def _path(kind: str, source: Mapping[str, str]) -> str:
    """Say in one line where a disk's data are."""
    if kind == "network":
        name, host = source["name"], source["host"]
        return f"{source['protocol']}://{host}/{name.removeprefix('/')}" if host else f"{source['protocol']}:{name}"
    parts = [source[key] for key in _DISK_KEYS.get(kind) or ("file",) if source[key]]
    return "/".join(parts)
