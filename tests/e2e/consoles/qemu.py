"""What QEMU itself says about its viewers, asked through virsh."""

import json
from typing import Any

from tests.lab import PrivateLibvirtd, wait_until


def monitor(libvirtd: PrivateLibvirtd, name: str, command: str) -> Any:
    """The answer of a running domain's QEMU."""
    answer = libvirtd.virsh("qemu-monitor-command", name, json.dumps({"execute": command}))
    return json.loads(answer)["return"]


def vnc_clients(libvirtd: PrivateLibvirtd, name: str) -> int:
    return len(monitor(libvirtd, name, "query-vnc")["clients"])


def spice_channels(libvirtd: PrivateLibvirtd, name: str) -> int:
    return len(monitor(libvirtd, name, "query-spice").get("channels", []))


def wait_for_vnc_clients(libvirtd: PrivateLibvirtd, name: str, count: int, timeout: float = 5.0) -> None:
    wait_until(lambda: vnc_clients(libvirtd, name) == count, f"QEMU of {name} has {count} viewers", timeout)
