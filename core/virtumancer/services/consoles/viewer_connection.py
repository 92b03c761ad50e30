"""One WebSocket's way to a console: from the first check to the close code."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import structlog

from virtumancer import errors
from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    CloseCode,
    ConsoleTransport,
    MultiChannelTransport,
    VMRef,
)
from virtumancer.errors import ConsoleRefused, HostUnavailable, VirtumancerError, VMNotFound
from virtumancer.plugins.calls.blame import ReturnCheck
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.direct_stream import guarded_stream
from virtumancer.plugins.calls.stream import STREAM
from virtumancer.services.consoles.relay import ViewerSocket, bridge
from virtumancer.services.consoles.sessions import ConsoleSessions, Ending, LiveSession
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.hosts.vm_lookup import find_by_uuid

__all__ = ["ClosableSocket", "SessionFactory", "ViewerConnection", "Waiting"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

HEAD_LIMIT = 64 * 1024
HEAD_TIMEOUT = 10.0
# libvirt notes the end of a VM a moment after its consoles have closed.
STATE_SETTLE = 0.3

HEAD = ReturnCheck("read_head", "a ChannelHead or None", lambda value: value is None or isinstance(value, ChannelHead))
CLOSE_CODES: dict[type[VirtumancerError], CloseCode] = {
    errors.VMNotFound: CloseCode.NOT_FOUND,
    errors.ConsoleNotFound: CloseCode.NOT_FOUND,
    errors.HostNotFound: CloseCode.NOT_FOUND,
    errors.WrongPowerState: CloseCode.VM_STOPPED,
    errors.ConsoleBusy: CloseCode.TAKEN_OVER,
    errors.TooManyConsoles: CloseCode.LIMIT,
    errors.HostUnavailable: CloseCode.HOST_LOST,
    errors.CallTimeout: CloseCode.HOST_LOST,
    errors.Forbidden: CloseCode.REFUSED,
    errors.ConsoleClosed: CloseCode.NORMAL,
    VirtumancerError: CloseCode.HYPERVISOR_ERROR,
}


class ClosableSocket(ViewerSocket, Protocol):
    """What a visit needs of a WebSocket."""

    async def close(self, code: int, reason: str) -> None:
        """Close it with a reason."""
        ...


SessionFactory = Callable[[ChannelHead | None], Awaitable[LiveSession]]
"""Begins the session that a socket is for, or finds the one it belongs to."""


class Waiting(NamedTuple):
    """The session of a viewer whose VM does not run, and the wait for its start."""

    session: LiveSession
    for_start: Callable[[], Awaitable[None]]


class ViewerConnection:
    """A socket on its way to, at, and from a console."""

    def __init__(
        self,
        host: HostSession,
        vm: VMRef,
        plugin: str,
        transport: ConsoleTransport,
        enter: SessionFactory,
        sessions: ConsoleSessions,
        health: PluginCaller,
        waiting: Waiting | None = None,
    ) -> None:
        self._host = host
        self._vm = vm
        self._call = PluginCall(plugin, "virtumancer_console_transports", transport.suffix, host.host.id)
        self._transport = transport
        self._enter = enter
        self._sessions = sessions
        self._health = health
        self._waiting = waiting
        self._name = f"the {transport.kind} console of VM {vm.name!r} on host {host.host.id!r}"
        self._session: LiveSession | None = None
        self._stream: ByteStream | None = None

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What the transport can choose from."""
        return self._transport.subprotocols

    async def prepare(self) -> None:
        """Do before the upgrade what can be done then, so that a refusal has a status and a document."""
        if not isinstance(self._transport, MultiChannelTransport) and self._waiting is None:
            await self._open(None)

    async def serve(self, socket: ClosableSocket) -> None:
        """Serve the accepted socket until either end, or a limit, closes it."""
        try:
            ending = await self._serve(socket)
        except VirtumancerError as error:
            ending = await self._cause_of(_ending_of(error))
        except Exception as error:  # a transport that breaks its contract ends its own socket only
            log.exception("a console transport failed", plugin=self._call.plugin)
            ending = Ending(CloseCode.HYPERVISOR_ERROR, f"plugin {self._call.plugin!r} failed: {type(error).__name__}")
        await socket.close(ending.code, ending.reason)

    async def aclose(self) -> None:
        """Close the console's end and leave the session."""
        if self._stream:
            await self._stream.close()
        if self._session:
            self._sessions.leave(self._session)
        if self._waiting and self._waiting.session is not self._session:
            self._sessions.leave(self._waiting.session)

    async def _serve(self, socket: ClosableSocket) -> Ending:
        first = b""
        if self._waiting:
            ended = self._waiting.session.ended
            first = await _unless_gone(self._waiting.for_start(), socket, ended)
            if ended.done():
                return ended.result()
        if isinstance(self._transport, MultiChannelTransport):
            head, first = await self._read_head(self._transport, socket, first)
            await self._open(head)
        elif self._stream is None:
            await self._open(None)
        if self._session is None or self._stream is None:
            raise RuntimeError("an open console has a session and a stream")
        return await bridge(socket, self._stream, self._session, first) or await self._why_closed()

    async def _read_head(
        self, transport: MultiChannelTransport, socket: ViewerSocket, data: bytes
    ) -> tuple[ChannelHead, bytes]:
        """Return what the viewer's first bytes say, and those bytes; `data` has come already."""
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                while len(data) <= HEAD_LIMIT:
                    if data and (head := self._head_in(transport, data)):
                        return head, data
                    message = await socket.receive()
                    if message is None:
                        raise errors.ConsoleClosed("the viewer left")
                    data += message
        except TimeoutError as error:
            reason = "the viewer did not say which channel it wants"
            raise ConsoleRefused(reason, close_code=CloseCode.PROTOCOL_ERROR) from error
        raise ConsoleRefused("the viewer's first message is too long", close_code=CloseCode.PROTOCOL_ERROR)

    def _head_in(self, transport: MultiChannelTransport, data: bytes) -> ChannelHead | None:
        what = f"reading the head of {self._name}"
        return self._health.counted_at_once(self._call, what, lambda: transport.read_head(data), HEAD)

    async def _open(self, head: ChannelHead | None) -> None:
        session = await self._enter(head)
        session.channels += 1
        self._session = session
        connection = self._host.require_connection()
        stream = await self._health.counted(
            self._call,
            f"opening {self._name}",
            lambda: self._transport.open(connection, self._vm, session, head),
            self._host.call_timeout,
            STREAM,
        )
        self._stream = guarded_stream(stream, self._call, self._name, self._health)

    async def _cause_of(self, ending: Ending) -> Ending:
        """A console that fails because its VM stopped or its host was lost ends for that reason."""
        if ending.code is not CloseCode.HYPERVISOR_ERROR:
            return ending
        cause = await self._why_closed()
        return ending if cause.code is CloseCode.NORMAL else cause

    async def _why_closed(self) -> Ending:
        """Find out why the hypervisor closed the console."""
        for wait in (0.0, STATE_SETTLE):
            await asyncio.sleep(wait)
            try:
                vm = await find_by_uuid(self._host, self._vm.uuid)
            except VMNotFound:
                return Ending(CloseCode.NOT_FOUND, f"VM {self._vm.name} is gone")
            except HostUnavailable:
                return Ending(CloseCode.HOST_LOST, f"host {self._host.host.id} was lost")
            except VirtumancerError as error:
                return _ending_of(error)
            if not vm.is_active:
                return Ending(CloseCode.VM_STOPPED, f"VM {self._vm.name} stopped")
        return Ending(CloseCode.NORMAL, "the hypervisor closed the console")


async def _unless_gone(work: Awaitable[None], socket: ViewerSocket, ended: asyncio.Future[Ending]) -> bytes:
    """Await something, unless the viewer leaves or its session is ended; returns what it has sent meanwhile."""
    waiting = asyncio.ensure_future(work)
    sent = bytearray()
    watching = asyncio.create_task(_keep(socket, sent))
    try:
        await asyncio.wait((waiting, watching, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            pass
        elif waiting.done():
            waiting.result()
        elif len(sent) > HEAD_LIMIT:
            reason = "the viewer said too much before there is a console"
            raise ConsoleRefused(reason, close_code=CloseCode.PROTOCOL_ERROR)
        else:
            raise errors.ConsoleClosed("the viewer left")
        return bytes(sent)
    finally:
        waiting.cancel()
        watching.cancel()
        await asyncio.gather(waiting, watching, return_exceptions=True)


async def _keep(socket: ViewerSocket, sent: bytearray) -> None:
    """Collect what the viewer sends, until it leaves or says more than it may before there is a console."""
    while len(sent) <= HEAD_LIMIT and (message := await socket.receive()) is not None:
        sent += message


def _ending_of(error: VirtumancerError) -> Ending:
    if isinstance(error, ConsoleRefused):
        return Ending(CloseCode(error.close_code), error.message)
    code = next(CLOSE_CODES[kind] for kind in type(error).__mro__ if kind in CLOSE_CODES)
    return Ending(code, error.message)
