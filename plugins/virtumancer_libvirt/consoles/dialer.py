"""How the consoles of a host are reached: through its SSH connection, on this machine, or over the network."""

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from virtumancer.contracts import ByteStream
from virtumancer.errors import AbilityMissing, HypervisorError
from virtumancer.streams import SocketStream
from virtumancer_libvirt.consoles.graphics import Display
from virtumancer_libvirt.uri.uri import LibvirtURI

if TYPE_CHECKING:
    from virtumancer_libvirt.ssh.transport import SSHTransport

__all__ = ["ChooseReach", "ConsoleDialer", "Target", "reach_of", "tls_context"]

Target = str | tuple[str, int]
"""A unix socket's path, or a TCP address and port."""

_USE_SSH = "reach the host by qemu+ssh instead"
_LIBVIRT_TCP_PORT = 16509


class ConsoleDialer(ABC):
    """The way to one host; everything here answers or fails within the driver's deadline for calls."""

    takes_descriptors: bool = False
    """Whether the hypervisor can hand us a connected socket."""

    def why_not(self, display: Display) -> str:
        """Say why a display of a VM that runs cannot be reached; empty when it can."""
        return "" if display.listens else "it listens nowhere; give it a listen address in the VM's XML"

    def why_no_serial(self) -> str:
        """Say why no serial console of this host can be reached; empty when they can."""
        return ""

    def target(self, display: Display) -> Target:
        """Return where to connect for a display that can be reached."""
        if display.socket:
            return display.socket
        return _own_address(display.address), display.tls_port if display.needs_tls else display.port

    @abstractmethod
    async def dial(self, target: Target) -> ByteStream:
        """Connect. Raises `HypervisorError` when nothing listens there."""

    @abstractmethod
    async def dial_daemon(self) -> ByteStream:
        """Connect to the host's libvirt daemon once more."""

    def tls_name(self) -> str | None:
        """Return the name that a display's certificate must have; None where the way there proves enough."""
        return None


class SSHReach(ConsoleDialer):
    """Everything is a channel of the host's one SSH connection."""

    def __init__(self, tunnel: "SSHTransport") -> None:
        self._tunnel = tunnel

    async def dial(self, target: Target) -> ByteStream:
        """Connect from the host."""
        return await self._tunnel.open_stream(target)

    async def dial_daemon(self) -> ByteStream:
        """Connect to the socket that answered when the host was connected."""
        return await self._tunnel.open_daemon()


class LocalReach(ConsoleDialer):
    """This machine's own hypervisor."""

    def __init__(self, uri: LibvirtURI, timeout: float) -> None:
        self._uri = uri
        self._timeout = timeout
        self.takes_descriptors = uri.driver == "qemu"

    def why_not(self, display: Display) -> str:
        """Say nothing where the hypervisor hands us a socket: then it does not have to listen."""
        return "" if self.takes_descriptors else super().why_not(display)

    async def dial(self, target: Target) -> ByteStream:
        """Connect."""
        return await _connect(target, self._timeout)

    async def dial_daemon(self) -> ByteStream:
        """Connect to the first socket that answers."""
        candidates = self._uri.socket_candidates(_runtime_folders())
        for path in candidates:
            with contextlib.suppress(HypervisorError):
                return await _connect(path, self._timeout)
        raise HypervisorError(f"No libvirt daemon answers at {', '.join(candidates)}; check that it runs.")


class NetworkReach(ConsoleDialer):
    """A host whose daemon listens on the network: its consoles must do that too."""

    def __init__(self, uri: LibvirtURI, timeout: float) -> None:
        self._uri = uri
        self._timeout = timeout
        self._is_here = _is_loopback(uri.host)

    def why_not(self, display: Display) -> str:
        """Say what only the host itself can connect to."""
        if self._is_here or not display.listens:
            return super().why_not(display)
        if display.socket:
            return f"it listens on the host's unix socket {display.socket} only; {_USE_SSH}"
        if _is_loopback(display.address or "127.0.0.1"):
            return f"it listens on the host's own {display.address or '127.0.0.1'} only; {_USE_SSH}"
        return ""

    def why_no_serial(self) -> str:
        """Say that it travels in libvirt's own connection, which is only ours without TLS."""
        return "" if self._uri.transport == "tcp" else f"serial consoles do not travel over libvirt's TLS; {_USE_SSH}"

    def target(self, display: Display) -> Target:
        """Return where to connect: what listens everywhere is found at the host's own address."""
        found = super().target(display)
        wild = not display.address or display.address in {"0.0.0.0", "::"}  # noqa: S104 -- read, not bound  # nosec B104
        return found if isinstance(found, str) or self._is_here or not wild else (self._uri.host, found[1])

    async def dial(self, target: Target) -> ByteStream:
        """Connect over the network, to addresses of the host alone: it would have us connect to anything else."""
        if not (isinstance(target, str) or await self._is_of_host(target[0])):
            raise HypervisorError(
                f"the display is at {target[0][:100]}, which is no address of the host {self._uri.host}; "
                f"let it listen on one of these, or {_USE_SSH}"
            )
        return await _connect(target, self._timeout)

    async def _is_of_host(self, address: str) -> bool:
        if address == self._uri.host or (self._is_here and _is_loopback(address)):
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(address) in await _addresses_of(self._uri.host, self._timeout)
        return False

    async def dial_daemon(self) -> ByteStream:
        """Connect to the daemon's TCP port."""
        if reason := self.why_no_serial():
            raise AbilityMissing(reason, ability="consoles")
        return await _connect((self._uri.host, self._uri.port or _LIBVIRT_TCP_PORT), self._timeout)

    def tls_name(self) -> str | None:
        """Return the name of the host: anybody might answer there."""
        return None if self._is_here else self._uri.host


class NoReach(ConsoleDialer):
    """A pretended hypervisor: the ports in its XML are nobody's, or somebody else's."""

    def why_not(self, display: Display) -> str:
        """Say that there is nothing to reach."""
        return "libvirt's test driver has no consoles"

    def why_no_serial(self) -> str:
        """Say the same."""
        return "libvirt's test driver has no consoles"

    async def dial(self, target: Target) -> ByteStream:
        """Refuse."""
        raise AbilityMissing(self.why_no_serial(), ability="consoles")

    async def dial_daemon(self) -> ByteStream:
        """Refuse."""
        raise AbilityMissing(self.why_no_serial(), ability="consoles")


ChooseReach = Callable[[LibvirtURI, "SSHTransport | None", float], ConsoleDialer]
"""Chooses the way for a URI, with the host's SSH connection if it has one, and the deadline for calls in seconds."""


def reach_of(uri: LibvirtURI, tunnel: "SSHTransport | None", timeout: float) -> ConsoleDialer:
    """Choose the way that fits a host's URI."""
    if tunnel is not None:
        return SSHReach(tunnel)
    if uri.driver == "test":
        return NoReach()
    return NetworkReach(uri, timeout) if uri.host else LocalReach(uri, timeout)


def tls_context(name: str | None) -> ssl.SSLContext:
    """Return the context to reach a display whose certificate must have this name. Reads files: call it in a thread.

    Without a name nothing is checked: inside SSH, and on this machine, the other end is known already, and
    hypervisors' certificates are made for their clients' own authorities, not for the address that we see.
    """
    if name is not None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _own_address(address: str) -> str:
    """Return the address at which a host finds its own display: what listens everywhere listens on loopback."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 -- read  # nosec B104


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _runtime_folders() -> tuple[str, ...]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    bases = [Path(runtime)] if runtime else []
    return tuple(str(base / "libvirt") for base in (*bases, Path.home() / ".cache"))


async def _addresses_of(name: str, timeout: float) -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses of a host; none when they cannot be found out."""
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (TimeoutError, OSError):
        return frozenset()
    return frozenset(ipaddress.ip_address(place[0]) for *_, place in found)


async def _connect(target: Target, timeout: float) -> ByteStream:
    name = target if isinstance(target, str) else f"{target[0]}:{target[1]}"
    try:
        async with asyncio.timeout(timeout):
            return await SocketStream.connect(target)
    except TimeoutError as error:
        raise HypervisorError(f"{name} did not accept a connection within {timeout:g} s") from error
    except OSError as error:
        raise HypervisorError(
            f"cannot connect to {name}: {os.strerror(error.errno or 0) if error.errno else error}"
        ) from error
