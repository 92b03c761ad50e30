"""Where the age of a QEMU process can be read: libvirt keeps a pid file for each, beside its socket."""

import os
import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.uri.uri import LibvirtURI
from virtumancer_libvirt.vms.uptime import age_command, ages_in_folder, ages_in_output

__all__ = ["AgeReader", "Shell", "local_ages", "remote_ages"]

AgeReader = Callable[[], Awaitable[Mapping[str, float]]]
"""Reads for how many seconds VMs have been running, by name."""


_TIMEOUT = 5.0
"""Seconds; an uptime is not worth a longer wait for the list of VMs."""


class Shell(Protocol):
    """Runs a command on the host."""

    async def run(self, command: str, *, timeout: float) -> str:
        """Return what it prints."""
        ...


def remote_ages(uri: LibvirtURI, shell: Shell) -> AgeReader | None:
    """Read through a remote shell; None for another hypervisor than QEMU."""
    if uri.driver != "qemu":
        return None
    command = age_command(_remote_folders(uri))

    async def read() -> Mapping[str, float]:
        return ages_in_output(await shell.run(command, timeout=_TIMEOUT))

    return read


def local_ages(uri: LibvirtURI, pool: Pool) -> AgeReader | None:
    """Read this machine's files on a connection's thread; None for another machine, or another hypervisor."""
    if uri.driver != "qemu" or uri.transport not in ("", "unix") or uri.host:
        return None
    folder = _local_folder(uri)

    async def read() -> Mapping[str, float]:
        return await pool.quick.call(lambda _node: ages_in_folder(folder), timeout=_TIMEOUT, doing="tell its VMs' age")

    return read


def _remote_folders(uri: LibvirtURI) -> tuple[str, ...]:
    below = _below(uri)
    if "socket" in uri.params:
        return (f"{shlex.quote(str(Path(uri.params['socket']).parent))}/{below}",)
    if uri.is_session:
        runtime = '"${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"'
        return (f"{runtime}/libvirt/{below}", f'"$HOME"/.cache/libvirt/{below}')
    return (f"/run/libvirt/{below}",)


def _local_folder(uri: LibvirtURI) -> Path:
    if "socket" in uri.params:
        # The files of a daemon lie beside its socket; beside one that comes from elsewhere there are none.
        return Path(uri.params["socket"]).parent / _below(uri)
    if uri.is_session:
        return Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home() / ".cache") / "libvirt" / _below(uri)
    return Path("/run/libvirt") / _below(uri)


def _below(uri: LibvirtURI) -> str:
    return "qemu/run" if uri.is_session else "qemu"
