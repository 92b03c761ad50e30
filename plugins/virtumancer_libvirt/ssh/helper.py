"""The way round for an sshd that forwards nothing: a helper program on the host, as virsh uses it."""

import asyncio
import logging
import shlex
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import Any

import asyncssh

from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleClosed, HypervisorError, VirtumancerError
from virtumancer_libvirt.ssh.channels import ChannelStream
from virtumancer_libvirt.ssh.forward_dir import SocketFolder
from virtumancer_libvirt.uri.uri import LibvirtURI

__all__ = ["FIND_HELPERS", "HelperCommands", "Relay", "open_program"]

log = logging.getLogger(__name__)

_LIBVIRT = "virt-ssh-helper"
_NETCAT = "nc"
# Of the netcats only OpenBSD's stays when its input has ended, and knows how to be told.
FIND_HELPERS = f"""command -v {_LIBVIRT} >/dev/null 2>&1 && echo {_LIBVIRT}
if nc -q 2>&1 | grep -q "requires an argument"; then echo "nc -q0"
elif command -v nc >/dev/null 2>&1; then echo nc
fi; :"""
"""A script that prints which of the helpers the host has, each as it is called."""


class HelperCommands:
    """What is run on the host for each connection; `found` is what the script printed, `socket` is the daemon's.

    The commands are plain words, for a login shell may be any.
    """

    def __init__(self, found: str, uri: LibvirtURI, socket: str) -> None:
        helpers = [line.split() for line in found.splitlines()]
        # libvirt's own finds the socket by itself, so it can be told of no other one.
        self._usual = not {"socket", "mode"} & uri.params.keys()
        self._has_libvirts = self._usual and [_LIBVIRT] in helpers
        self._netcat: list[str] = next((words for words in helpers if words[:1] == [_NETCAT]), list[str]())
        self._uri = uri
        self._socket = socket

    @property
    def program(self) -> str:
        """The one for libvirt; empty when there is none that leads to this socket."""
        return _LIBVIRT if self._has_libvirts else _NETCAT if self._netcat else ""

    @property
    def wanted(self) -> str:
        """Which ones would do."""
        return f"{_LIBVIRT} or {_NETCAT}" if self._usual else _NETCAT

    def to_daemon(self) -> str:
        """Return the command that connects to the daemon."""
        if not self._has_libvirts:
            return self.to(self._socket)
        # Without a login session it would look elsewhere than where this socket was found.
        runtime = PurePosixPath(self._socket).parent.parent
        environment = ("env", f"XDG_RUNTIME_DIR={runtime}") if self._uri.is_session else ()
        return shlex.join((*environment, _LIBVIRT, self._uri.at_the_daemon))

    def trial(self) -> str:
        """Return a script that fails, and prints why, when the daemon cannot be connected to."""
        return f"{self.to_daemon()} 2>&1 >/dev/null </dev/null"

    def to(self, target: str | tuple[str, int]) -> str:
        """Return the command that connects to a unix socket or a port. Raises `HypervisorError` without netcat."""
        if not self._netcat:
            raise HypervisorError(
                "sshd forwards nothing to this account, and the host has no nc to go round. Allow forwarding, or "
                "install nc there"
            )
        place = ("-U", target) if isinstance(target, str) else (target[0], str(target[1]))
        return shlex.join((*self._netcat, *place))


async def open_program(connection: asyncssh.SSHClientConnection, command: str, name: str, window: int) -> ChannelStream:
    """Run a program on the host, and talk to it."""
    untyped: Any = connection  # asyncssh's types leave it open whether a channel carries bytes or text
    process = await untyped.create_process(command, stderr=asyncssh.DEVNULL, encoding=None, window=window)
    return ChannelStream(process.stdout, process.stdin, name)


class Relay:
    """A socket of our own, whose every connection gets a program on the host."""

    def __init__(self, open_stream: Callable[[], Awaitable[ByteStream]]) -> None:
        self._open = open_stream
        self._folder = SocketFolder()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> str:
        """Begin, and return the path of the socket."""
        self._server = await asyncio.start_unix_server(self._take, self._folder.socket)
        return self._folder.socket

    def close(self) -> None:
        """End all connections; `wait_closed` waits for that."""
        if self._server is not None:
            self._server.close()
        self._folder.remove()
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until everything is given back."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            stream = await self._open()
        except VirtumancerError as error:
            log.warning("a connection to libvirt could not be made: %s", error)
            writer.close()  # libvirt learns of it as of a daemon that hung up
            return
        ways = {asyncio.create_task(_outward(reader, stream)), asyncio.create_task(_inward(stream, writer))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()
            await stream.close()


async def _outward(reader: asyncio.StreamReader, stream: ByteStream) -> None:
    try:
        while data := await reader.read(65536):
            await stream.write(data)
    except (ConsoleClosed, ConnectionError):
        return


async def _inward(stream: ByteStream, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await stream.read():
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return
