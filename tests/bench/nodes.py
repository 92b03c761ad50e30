"""Node files of libvirt's test driver with many VMs."""

import uuid
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

TEST = "http://libvirt.org/schemas/domain/test/1.0"


def write_node(path: Path, count: int) -> str:
    """Write a node of `count` VMs, every other one running; returns its URI."""
    ElementTree.register_namespace("test", TEST)
    node = Element("node")
    for tag, text in (
        ("mhz", "3000"),
        ("active", "16"),
        ("nodes", "1"),
        ("sockets", "2"),
        ("cores", "4"),
        ("threads", "2"),
    ):
        cpu = node.find("cpu")
        SubElement(SubElement(node, "cpu") if cpu is None else cpu, tag).text = text
    SubElement(node, "memory").text = str(64 * 1024 * 1024)
    for number in range(count):
        node.append(_domain(number))
    ElementTree.ElementTree(node).write(path)
    return f"test://{path}"


def _domain(number: int) -> Element:
    domain = Element("domain", type="test")
    SubElement(domain, "name").text = f"vm{number:05}"
    SubElement(domain, "uuid").text = str(uuid.UUID(int=number + 1))
    SubElement(domain, "description").text = f"number {number}"
    for tag, text in (("memory", "262144"), ("currentMemory", "131072"), ("vcpu", "2")):
        SubElement(domain, tag).text = text
    SubElement(SubElement(domain, "os"), "type").text = "hvm"
    devices = SubElement(domain, "devices")
    disk = SubElement(devices, "disk", type="file", device="disk")
    SubElement(disk, "source", file=f"/var/lib/libvirt/images/vm{number:05}.qcow2")
    SubElement(disk, "target", dev="vda", bus="virtio")
    SubElement(SubElement(devices, "interface", type="bridge"), "source", bridge="br0")
    SubElement(devices, "graphics", type="vnc", autoport="yes")
    SubElement(domain, f"{{{TEST}}}runstate").text = "1" if number % 2 else "5"
    return domain
