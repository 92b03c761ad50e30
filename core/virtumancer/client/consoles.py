"""Consoles: which a VM has, who looks at them, and one as a stream of bytes."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from virtumancer.client.problems import ServerUnreachable, error_of_answer
from virtumancer.client.transport import Endpoint, Outgoing, Transport, path_of
from virtumancer.contracts import ByteStream, CloseCode
from virtumancer.contracts.responses import ConsoleSessionInfo, ConsoleTicket, OnBusy, VMConsole
from virtumancer.errors import ConsoleClosed, ConsoleRefused

__all__ = ["AsyncConsoles", "ConsoleStream"]

# A message from the server is as large as what the hypervisor sent at once.
MAX_MESSAGE = 16 * 1024 * 1024
# The server takes no message that is larger than `server.max_body`, which may be set to 64 KiB or so.
CHUNK = 16 * 1024
OPEN_TIMEOUT = 20.0


class ConsoleStream(ByteStream):
    """An open console: what is read comes from the VM, what is written goes to it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._rest = b""

    async def read(self, limit: int = 65536) -> bytes:
        """Return at most `limit` bytes; `b""` when the console was closed and the VM runs on.

        Raises `ConsoleRefused`, whose `close_code` is a `CloseCode`, for any other end.
        """
        while not self._rest:
            try:
                message = await self._socket.recv()
            except ConnectionClosed as closed:
                return self._end(closed)
            self._rest = message.encode() if isinstance(message, str) else message
        data, self._rest = self._rest[:limit], self._rest[limit:]
        return data

    async def write(self, data: bytes) -> None:
        """Send everything, waiting while the server is slow. Raises `ConsoleClosed` when the console has ended."""
        try:
            for begin in range(0, len(data), CHUNK):
                await self._socket.send(data[begin : begin + CHUNK])
        except ConnectionClosed as closed:
            raise ConsoleClosed(f"the console has ended: {_reason(closed)}") from closed

    async def close(self) -> None:
        """End it."""
        await self._socket.close()

    def _end(self, closed: ConnectionClosed) -> bytes:
        code = closed.rcvd.code if closed.rcvd else 1006
        if code == CloseCode.NORMAL:
            return b""
        raise ConsoleRefused(_reason(closed), close_code=code) from closed


def _reason(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "the connection to the server broke"
    return closed.rcvd.reason or f"closed with code {closed.rcvd.code}"


class AsyncConsoles:
    """`…/consoles` of a VM, and `/consoles`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def of_vm(self, host: str, vm: str) -> tuple[VMConsole, ...]:
        """List the consoles of a VM, and why one is not available."""
        return await self._transport.get(path_of("hosts", host, "vms", vm, "consoles"), tuple[VMConsole, ...])

    async def ticket(
        self, host: str, vm: str, kind: str, *, on_busy: OnBusy = "share", view_only: bool = False
    ) -> ConsoleTicket:
        """Get the URL of a console, which works once, within 30 seconds; for a viewer that has no token."""
        body = {"kind": kind, "on_busy": on_busy, "view_only": view_only}
        path = path_of("hosts", host, "vms", vm, "consoles")
        # With a key, an answer that was lost could not be had again, since it holds a secret; another ticket can.
        return await self._transport.fetch(Outgoing(method="POST", path=path, body=body, keyed=False), ConsoleTicket)

    async def open(
        self, host: str, vm: str, kind: str = "serial", *, on_busy: OnBusy = "share", view_only: bool = False
    ) -> ConsoleStream:
        """Open a console; the caller closes it. Raises `ConsoleNotFound`, `WrongPowerState`, `ConsoleBusy` …"""
        ticket = await self.ticket(host, vm, kind, on_busy=on_busy, view_only=view_only)
        return ConsoleStream(await _connected(self._transport.endpoint, ticket.path))

    async def list(self) -> tuple[ConsoleSessionInfo, ...]:
        """List the console sessions that the caller may see."""
        return await self._transport.get("/consoles", tuple[ConsoleSessionInfo, ...])

    async def get(self, session: str) -> ConsoleSessionInfo:
        """Describe a console session."""
        return await self._transport.get(path_of("consoles", session), ConsoleSessionInfo)

    async def end(self, session: str) -> None:
        """End a console session."""
        await self._transport.send(Outgoing(method="DELETE", path=path_of("consoles", session)))


async def _connected(endpoint: Endpoint, path: str) -> ClientConnection:
    """Open the WebSocket at a path of the server, wherever the server believes to be."""
    base = urlsplit(endpoint.base)
    scheme = "wss" if endpoint.has_tls else "ws"
    socket: dict[str, Any] = {"unix": True, "path": endpoint.socket} if endpoint.socket else {}
    try:
        return await connect(
            urlunsplit((scheme, base.netloc, "", "", "")) + path,
            **socket,
            subprotocols=[Subprotocol("binary")],
            compression=None,
            ssl=endpoint.ssl_context() if endpoint.has_tls else None,
            proxy=None if endpoint.is_local else True,
            open_timeout=OPEN_TIMEOUT,
            max_size=MAX_MESSAGE,
        )
    except InvalidStatus as refused:
        answer = refused.response
        raise error_of_answer(answer.status_code, answer.headers, bytes(answer.body or b"")) from refused
    except (OSError, TimeoutError, InvalidHandshake) as error:
        reason = str(error) or type(error).__name__
        raise ServerUnreachable(f"the console at {endpoint} cannot be opened: {reason}") from error
