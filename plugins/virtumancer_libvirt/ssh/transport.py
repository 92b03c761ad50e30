"""The one SSH connection of a host, which carries libvirt's calls, consoles and short commands."""

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Self

import asyncssh

from virtumancer.contracts import ByteStream, ConnectContext, ConnectSettings
from virtumancer.errors import HostLost, HostUnreachable, HypervisorError
from virtumancer_libvirt.ssh.channels import Channels, ChannelStream, open_stream
from virtumancer_libvirt.ssh.config import Hop, resolve
from virtumancer_libvirt.ssh.connector import HopConnector
from virtumancer_libvirt.ssh.exec import run_command, run_script
from virtumancer_libvirt.ssh.forward_dir import SocketFolder
from virtumancer_libvirt.ssh.helper import FIND_HELPERS, HelperCommands, Relay, open_program
from virtumancer_libvirt.ssh.session_daemon import find_session_dirs, start_session_daemon
from virtumancer_libvirt.ssh.socket_diagnosis import FORWARDING, NoSocketAnswers, explain_silence
from virtumancer_libvirt.uri.uri import LibvirtURI

__all__ = ["ChannelRefused", "NoSocketAnswers", "SSHTransport"]

_CLOSE_SECONDS = 0.5
_WIDE = 2 * 1024 * 1024
_NARROW = 128 * 1024
"""Windows of channels, in bytes: a screen over a distant line needs a wide one, text does not."""
_FORBIDDEN = frozenset({1, 3})
"""Of RFC 4254: administratively prohibited, and a kind of channel that the server does not know."""


class ChannelRefused(HypervisorError):
    """sshd could not connect to what a channel was for; `reason` is its word for why."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ForwardingForbidden(HypervisorError):
    """sshd does not connect this account to anything, or not to this."""


class SSHTransport:
    """An open SSH connection, through jump hosts where the SSH configuration says so."""

    def __init__(self, uri: LibvirtURI, settings: ConnectSettings) -> None:
        """Use `open`; a transport without connections is of no use."""
        self._uri = uri
        self._settings = settings
        self._connections: list[asyncssh.SSHClientConnection] = []
        self._listeners: list[asyncssh.SSHListener] = []
        self._folders: list[SocketFolder] = []
        self._channels = Channels()
        self.helper: HelperCommands | None = None
        self._relay: Relay | None = None
        self._next = uri.host
        self._daemon = ""
        self._reason = ""
        self._lost = asyncio.Event()

    @classmethod
    async def open(cls, uri: LibvirtURI, context: ConnectContext) -> Self:
        """Log in within `connect_timeout`; whatever was opened is closed again when it fails or is cancelled.

        Raises `HostUnreachable`, `HostKeyUnknown`, `HostKeyChanged` or `AuthenticationFailed`.
        """
        transport = cls(uri, context.settings)
        try:
            async with asyncio.timeout(context.settings.connect_timeout):
                await transport._connect(context)
        except TimeoutError as error:
            await transport.aclose()
            seconds = f"{context.settings.connect_timeout:g} s"
            raise HostUnreachable(f"no SSH login to {transport._next} within {seconds}: no answer") from error
        except BaseException:
            transport.cut("not opened")
            await transport.aclose()
            raise
        return transport

    async def _connect(self, context: ConnectContext) -> None:
        hops = await asyncio.to_thread(resolve, self._uri.ssh_target, context.settings)
        connector = HopConnector(context, self._connections, self._hop_lost)
        for hop in hops:
            self._next = str(hop)
            await connector.connect(hop)

    def _hop_lost(self, hop: Hop, error: Exception | None) -> None:
        self._set_lost(_why_lost(hop, error, self._settings))

    def _set_lost(self, reason: str) -> None:
        # The first reason is the cause; what follows is its consequence.
        self._reason = self._reason or reason
        self._lost.set()

    async def wait_lost(self) -> str:
        """Return why the connection is gone, as soon as it is."""
        await self._lost.wait()
        return self._reason

    def cut(self, reason: str) -> None:
        """Drop the connection at once, without a word to a peer that may hang; all that waits on it fails now."""
        self._set_lost(reason)
        for connection in reversed(self._connections):
            connection.abort()

    async def aclose(self) -> None:
        """Close everything, the host before its jump hosts, within two seconds even when they hang; never raises."""
        self._set_lost("closed by us")
        for listener in self._listeners:
            listener.close()
        if self._relay is not None:
            self._relay.close()
        for folder in self._folders:
            folder.remove()
        for connection in reversed(self._connections):
            connection.close()
        await _quietly(self._wait_closed())
        await self._channels.aclose(_CLOSE_SECONDS)

    async def _wait_closed(self) -> None:
        if self._relay is not None:
            await self._relay.wait_closed()
        for connection in reversed(self._connections):
            await connection.wait_closed()

    async def forward_daemon(self) -> str:
        """Forward the libvirt daemon that the URI names and return the local socket; start it for a session URI."""
        if not self._uri.is_session or "socket" in self._uri.params:
            return await self.forward_socket(self._uri.socket_candidates())
        candidates = self._uri.socket_candidates(await find_session_dirs(self, self._settings.call_timeout))
        try:
            return await self.forward_socket(candidates)
        except NoSocketAnswers as silence:
            try:
                await start_session_daemon(self, self._uri, self._settings.call_timeout)
            except HypervisorError as error:
                message = f"{silence.message}. It could not be started either: {error.message}"
                raise NoSocketAnswers(message) from error
        return await self.forward_socket(candidates)

    async def forward_socket(self, candidates: Sequence[str]) -> str:
        """Forward the first of these sockets that accepts a connection and return the path of its local end.

        Raises `NoSocketAnswers` when there is none, `HypervisorError` when sshd does not allow it.
        """
        try:
            self._daemon = path = await self._first_that_answers(candidates)
        except NoSocketAnswers as silence:
            return await self._go_round(silence)
        folder = SocketFolder()
        self._folders.append(folder)
        try:
            self._listeners.append(await self._connection.forward_local_path(folder.socket, path))
        except OSError as error:
            raise HypervisorError(f"cannot listen on {folder.socket}: {error.strerror}") from error
        return folder.socket

    async def _first_that_answers(self, candidates: Sequence[str]) -> str:
        for path in candidates:
            try:
                stream = await self.open_stream(path)
            except (ChannelRefused, ForwardingForbidden):
                continue
            await stream.close()
            return path
        raise await explain_silence(self, self._uri.host, candidates, self._settings.call_timeout)

    async def _go_round(self, silence: NoSocketAnswers) -> str:
        """Let a helper on the host connect where sshd forwards nothing; raises the silence when that cannot be."""
        if not silence.forbidden:
            raise silence
        self._daemon = silence.forbidden
        programs = await self.run_script(FIND_HELPERS, "to look for a helper", timeout=self._settings.call_timeout)
        helper = HelperCommands(programs, self._uri, self._daemon)
        if not helper.program:
            message = f"{silence.message}; or install {helper.wanted} there, by which virsh goes round"
            raise NoSocketAnswers(message) from silence
        try:
            await self.run_script(helper.trial(), f"to try {helper.program}", timeout=self._settings.call_timeout)
        except HypervisorError as error:
            message = (
                f"no libvirt daemon answers on {self._uri.host}; tried {self._daemon}: {error.message}. To cure it, "
                "start its daemon there"
            )
            raise NoSocketAnswers(message) from error
        self.helper, self._relay = helper, Relay(self.open_daemon)
        return await self._relay.listen()

    @property
    def remark(self) -> str:
        """What is unusual about the way to the daemon, empty when nothing is."""
        if self.helper is None:
            return ""
        return (
            f"sshd forwards nothing to this account, so libvirt is reached by {self.helper.program} on the host, as "
            "by virsh; each connection is a session for MaxSessions"
        )

    async def open_daemon(self) -> ByteStream:
        """Connect to the libvirt daemon that was forwarded; raises what `open_stream` does."""
        if self.helper is None:
            return await self.open_stream(self._daemon, window=_NARROW)
        return await self._run_helper(self.helper.to_daemon(), self._daemon, _NARROW)

    async def open_stream(self, target: str | tuple[str, int], *, window: int = _WIDE) -> ByteStream:
        """Connect from the host to one of its unix sockets or to a TCP port that it can reach.

        `window` is how many bytes the host may send before we have read them.
        Raises `ChannelRefused` when nothing listens there, `HypervisorError` when sshd does not allow it.
        """
        name = target if isinstance(target, str) else f"{target[0]}:{target[1]}"
        try:
            return await self._open(open_stream(self._connection, target, name, window), name)
        except (ChannelRefused, ForwardingForbidden):
            if self.helper is None:
                raise
            return await self._run_helper(self.helper.to(target), name, window)

    async def _run_helper(self, command: str, name: str, window: int) -> ByteStream:
        return await self._open(open_program(self._connection, command, name, window), name)

    async def _open(self, opening: Awaitable[ChannelStream], name: str) -> ByteStream:
        try:
            return await self._channels.open(
                f"a channel to {name}", opening, ChannelStream.abort, self._settings.call_timeout
            )
        except asyncssh.ChannelOpenError as error:
            raise self._refused(name, error) from error
        except (OSError, asyncssh.Error) as error:
            raise HostLost(f"the SSH connection to {self._uri.host} was lost: {error}") from error

    def _refused(self, name: str, error: asyncssh.ChannelOpenError) -> HypervisorError | HostLost:
        if self._lost.is_set():
            return HostLost(f"the SSH connection to {self._uri.host} is lost: {self._reason}")
        if error.code not in _FORBIDDEN:
            return ChannelRefused(f"{self._uri.host} cannot connect to {name}: {error.reason}", reason=error.reason)
        return ForwardingForbidden(
            f"sshd on {self._uri.host} forbids forwarding to {name}: {error.reason}. Allow it with {FORWARDING}"
        )

    async def run(self, command: str, *, timeout: float) -> str:
        """Run a short command in the user's shell on the host and return what it prints.

        Raises `HypervisorError` when the host refuses it, when it fails or prints too much, `CallTimeout` when late.
        """
        return await run_command(self._connection, self._channels, command, timeout)

    async def run_script(self, script: str, what: str, *, timeout: float) -> str:
        """Run a script of sh on the host, whatever the user's shell is, and return what it prints.

        `what` says in messages what it does. Raises what `run` does.
        """
        return await run_script(self._connection, self._channels, script, what, timeout)

    @property
    def _connection(self) -> asyncssh.SSHClientConnection:
        if self._lost.is_set():
            raise HostLost(f"the SSH connection to {self._uri.host} is lost: {self._reason}")
        return self._connections[-1]


async def _quietly(closing: Coroutine[None, None, None]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await closing
    except (TimeoutError, OSError, asyncssh.Error):
        # It is being closed because it is of no use any more; how it ends interests nobody.
        return


def _why_lost(hop: Hop, error: Exception | None, settings: ConnectSettings) -> str:
    if error is None:
        return f"the SSH connection to {hop} was closed"
    if "keepalive" in str(error):
        return f"{hop} answered nothing for {settings.keepalive_interval * (settings.keepalive_count + 1):g} s"
    if isinstance(error, asyncssh.ConnectionLost):
        return f"{hop} closed the SSH connection"
    return f"the SSH connection to {hop} broke: {error}"
