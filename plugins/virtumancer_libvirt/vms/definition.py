"""What only a VM's XML knows about it: description, consoles, CPU; and the configured memory."""

import json

from msgspec import Struct

from virtumancer.contracts import Graphics
from virtumancer_libvirt.binding.domain_xml import Element, attribute, parse_xml, text

__all__ = ["UNREADABLE", "Definition", "parse_definition"]

_KIB: dict[str, float] = {
    "b": 1 / 1024,
    "bytes": 1 / 1024,
    "kb": 1000 / 1024,
    "k": 1,
    "kib": 1,
    "mb": 1000**2 / 1024,
    "m": 1024,
    "mib": 1024,
    "gb": 1000**3 / 1024,
    "g": 1024**2,
    "gib": 1024**2,
    "tb": 1000**4 / 1024,
    "t": 1024**3,
    "tib": 1024**3,
}


class Definition(Struct, frozen=True):
    """The part of a VM's XML that goes into its listing; memory in KiB."""

    description: str = ""
    graphics: Graphics = Graphics()
    cpu_model: str = ""
    cpu_topology_json: str = ""
    max_mem: int = 0
    memory: int = 0
    vcpu: int = 0
    max_vcpus: int = 0
    vcpus_fixed: bool = False
    """Whether the number of vCPUs stays as it is until an event tells of a change.

    There is none when vCPUs are plugged in or out, nor when another number is stored for a VM that is off.
    """
    memory_only_here: bool = False
    """Whether the configured memory stands only here: libvirt's statistics tell the most of a VM without a balloon.

    There is no event when another amount is stored for a VM that is off.
    """
    readable: bool = True
    """Whether any of this was read: what was not is unknown, and not empty."""


UNREADABLE = Definition(readable=False)


def parse_definition(document: str) -> Definition:
    """Read the listing's part of a domain's XML."""
    domain = parse_xml(document)
    kinds = {graphics.get("type") for graphics in domain.iterfind("devices/graphics")}
    max_mem = _kibibytes(domain.find("memory"))
    vcpu = domain.find("vcpu")
    return Definition(
        description=text(domain, "description"),
        graphics=Graphics(vnc="vnc" in kinds, spice="spice" in kinds),
        cpu_model=text(domain, "cpu/model") or attribute(domain.find("cpu"), "mode"),
        cpu_topology_json=_topology(domain.find("cpu/topology")),
        max_mem=max_mem,
        memory=_kibibytes(domain.find("currentMemory")) or max_mem,
        vcpu=_number(attribute(vcpu, "current")) or _number(text(domain, "vcpu")),
        max_vcpus=_number(text(domain, "vcpu")),
        vcpus_fixed=_has_fixed_vcpus(domain),
        memory_only_here=_has_no_balloon(domain) and domain.get("id") is None,
    )


def _has_no_balloon(domain: Element) -> bool:
    return attribute(domain.find("devices/memballoon"), "model") == "none"


def _has_fixed_vcpus(domain: Element) -> bool:
    """Say whether a VM runs, which is when its XML has an id, with vCPUs that can be neither plugged in nor out."""
    may_change = domain.find("vcpu[@current]") is not None or domain.find("vcpus/vcpu[@hotpluggable='yes']") is not None
    return domain.get("id") is not None and not may_change


def _topology(topology: Element | None) -> str:
    """Return the topology as the JSON that clients parse; a part that libvirt leaves out is 1."""
    if topology is None:
        return ""
    parts = {name: _number(attribute(topology, name)) or 1 for name in ("sockets", "dies", "cores", "threads")}
    return json.dumps(parts, separators=(",", ":"))


def _kibibytes(element: Element | None) -> int:
    if element is None:
        return 0
    return int(_number((element.text or "").strip()) * _KIB.get(element.get("unit", "KiB").lower(), 1))


def _number(digits: str) -> int:
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else 0
