"""What virsh says about hosts and domains, as data."""

from xml.etree.ElementTree import Element, fromstring

from tests.lab import PrivateLibvirtd


def facts(text: str) -> dict[str, str]:
    """Read lines as "Name:  value", as virsh's dominfo and nodeinfo print them."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def dominfo(libvirtd: PrivateLibvirtd, name: str) -> dict[str, str]:
    return facts(libvirtd.virsh("dominfo", name))


def domstats(libvirtd: PrivateLibvirtd, name: str) -> dict[str, str]:
    lines = libvirtd.virsh("domstats", name).splitlines()
    return dict(line.strip().split("=", 1) for line in lines if "=" in line)


def dumpxml(libvirtd: PrivateLibvirtd, name: str) -> Element:
    return fromstring(libvirtd.virsh("dumpxml", name))


def kib(text: str) -> int:
    """The number in "131072 KiB"."""
    return int(text.split(maxsplit=1)[0])
