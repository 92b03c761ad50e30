"""Definitions of guests for libvirt, as XML."""

import uuid as uuids
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring


def plain_definition(
    name: str,
    *,
    uuid: str | None = None,
    memory_mib: int = 64,
    vcpus: int = 1,
    title: str | None = None,
    description: str | None = None,
) -> str:
    """The cheapest definition there is, for many domains that are never started."""
    return _text(_domain(name, uuid, memory_mib, vcpus, title, description))


def firmware_guest(
    name: str,
    *,
    uuid: str | None = None,
    memory_mib: int = 128,
    vcpus: int = 1,
    disks: Sequence[Path] = (),
    networks: Sequence[str] = (),
    title: str | None = None,
    description: str | None = None,
) -> str:
    """A guest that runs its firmware only, with VNC, SPICE and a serial console: up in half a second.

    A network is the name of a libvirt network, or "user" for QEMU's own.
    """
    domain = _domain(name, uuid, memory_mib, vcpus, title, description)
    _add_devices(domain, disks, networks, serial_log=None)
    return _text(domain)


# Writes 1 to the port of the panic device, and halts.
_PANICS = bytes.fromhex("ba0505b001eef4ebfd")


def panicking_guest(name: str, disk: Path) -> str:
    """A guest that panics as soon as it runs, and is kept then; its disk is written here."""
    disk.write_bytes(_PANICS.ljust(510, b"\0") + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    definition = firmware_guest(name, memory_mib=64, disks=[disk]).replace('machine="q35"', 'machine="pc"')
    definition = definition.replace("</os>", '<boot dev="hd"/></os>').replace(
        "</devices>", '<panic model="isa"/></devices>'
    )
    return definition.replace("<devices>", "<on_crash>preserve</on_crash><devices>")


def linux_guest(
    name: str,
    kernel: Path,
    initramfs: Path,
    *,
    serial_log: Path | None = None,
    uuid: str | None = None,
    memory_mib: int = 192,
    vcpus: int = 1,
    disks: Sequence[Path] = (),
    networks: Sequence[str] = (),
    title: str | None = None,
    description: str | None = None,
) -> str:
    """A guest that boots Linux, answers the power button and has shells on screen and serial console.

    What it says on its serial console goes to `serial_log` too, whether or not someone has the console open.
    """
    domain = _domain(name, uuid, memory_mib, vcpus, title, description)
    system = domain.find("os")
    assert system is not None
    SubElement(system, "kernel").text = str(kernel.resolve())
    SubElement(system, "initrd").text = str(initramfs.resolve())
    SubElement(system, "cmdline").text = "console=tty0 console=ttyS0 quiet"
    _add_devices(domain, disks, networks, serial_log)
    return _text(domain)


def _domain(
    name: str, uuid: str | None, memory_mib: int, vcpus: int, title: str | None, description: str | None
) -> Element:
    # Always TCG: /dev/kvm may be missing, forbidden, or a nested one on which Linux hangs.
    domain = Element("domain", type="qemu")
    SubElement(domain, "name").text = name
    SubElement(domain, "uuid").text = uuid or str(uuids.uuid4())
    if title is not None:
        SubElement(domain, "title").text = title
    if description is not None:
        SubElement(domain, "description").text = description
    SubElement(domain, "memory", unit="MiB").text = str(memory_mib)
    SubElement(domain, "vcpu").text = str(vcpus)
    system = SubElement(domain, "os")
    SubElement(system, "type", arch="x86_64", machine="q35").text = "hvm"
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")
    return domain


def _add_devices(domain: Element, disks: Sequence[Path], networks: Sequence[str], serial_log: Path | None) -> None:
    devices = SubElement(domain, "devices")
    for number, disk in enumerate(disks):
        _add_disk(devices, disk, f"vd{chr(ord('a') + number)}")
    for network in networks:
        _add_interface(devices, network)
    serial = SubElement(devices, "serial", type="pty")
    if serial_log is not None:
        SubElement(serial, "log", file=str(serial_log.resolve()), append="off")
    for kind in ("vnc", "spice"):
        SubElement(devices, "graphics", type=kind, autoport="yes", listen="127.0.0.1")
    SubElement(SubElement(devices, "video"), "model", type="qxl")
    balloon = SubElement(devices, "memballoon", model="virtio")
    SubElement(balloon, "stats", period="1")


def _add_disk(devices: Element, path: Path, target: str) -> None:
    disk = SubElement(devices, "disk", type="file", device="disk")
    SubElement(disk, "driver", name="qemu", type="qcow2" if path.suffix == ".qcow2" else "raw")
    SubElement(disk, "source", file=str(path.resolve()))
    SubElement(disk, "target", dev=target, bus="virtio")


def _add_interface(devices: Element, network: str) -> None:
    interface = SubElement(devices, "interface", type="user" if network == "user" else "network")
    if network != "user":
        SubElement(interface, "source", network=network)
    SubElement(interface, "model", type="virtio")
    SubElement(interface, "rom", enabled="no")  # without it the firmware tries to boot from the net, for 5 s of CPU


def _text(domain: Element) -> str:
    indent(domain)
    return tostring(domain, encoding="unicode")
