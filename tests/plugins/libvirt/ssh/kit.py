"""What the SSH tests share: settings for a private sshd, policies, and a socket server that echoes."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from tests.lab.sshd import PrivateSshd
from virtumancer.contracts import ConnectContext, ConnectSettings, HostKeyPolicy
from virtumancer_libvirt.ssh.transport import SSHTransport
from virtumancer_libvirt.uri.uri import LibvirtURI, parse


def settings(server: PrivateSshd | None, **changes: Any) -> ConnectSettings:
    """Settings that see nothing of the user who runs the tests: no configuration, no agent, known_hosts of the lab."""
    known_hosts = () if server is None else (str(server.known_hosts),)
    options: dict[str, Any] = {
        "connect_timeout": 10.0,
        "call_timeout": 5.0,
        "ssh_config": None,
        "ssh_known_hosts": known_hosts,
        "ssh_agent": False,
    }
    return ConnectSettings(**(options | changes))


def uri_of(server: PrivateSshd, path: str = "/system", **params: object) -> LibvirtURI:
    """The URI of a lab sshd, with the user key that it lets in."""
    query = "&".join(f"{name}={value}" for name, value in ({"keyfile": server.user_key} | params).items())
    return parse(f"qemu+ssh://root@127.0.0.1:{server.port}{path}?{query}")


async def connect(
    server: PrivateSshd, policy: HostKeyPolicy | None = None, uri: LibvirtURI | None = None, **changes: Any
) -> SSHTransport:
    """Open a transport to a lab sshd; the caller closes it."""
    context = ConnectContext(settings=settings(server, **changes), host_keys=policy or HostKeyPolicy())
    return await SSHTransport.open(uri or uri_of(server), context)


@asynccontextmanager
async def opened(
    server: PrivateSshd, policy: HostKeyPolicy | None = None, uri: LibvirtURI | None = None, **changes: Any
) -> AsyncIterator[SSHTransport]:
    """An open transport to a lab sshd, closed at the end."""
    transport = await connect(server, policy, uri, **changes)
    try:
        yield transport
    finally:
        await transport.aclose()


class EchoServer:
    """A server on a unix socket that sends back what it gets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def echoed(path: str, data: bytes) -> bytes:
    """Send data into a unix socket and return as much of the answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(data)
        answer = await asyncio.wait_for(reader.readexactly(len(data)), 10)
    finally:
        writer.close()
    return answer


def make_key(path: Path, passphrase: str = "") -> Path:
    """Make a user or authority key."""
    ssh_keygen("-q", "-t", "ed25519", "-N", passphrase, "-C", "lab", "-f", str(path))
    return path


def ssh_keygen(*arguments: str) -> str:
    """Run OpenSSH's own key tool."""
    return subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, text=True).stdout
