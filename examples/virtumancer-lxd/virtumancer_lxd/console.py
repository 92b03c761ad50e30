"""The console of an instance, over LXD's WebSockets."""

import asyncio

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleBusy, ConsoleClosed, HypervisorError
from virtumancer_lxd.answers import Instance
from virtumancer_lxd.api import INSTANCES, LXD, Operation

__all__ = ["attached", "require_free"]

# How long a console that was left may take to be free.
DETACHING = 1.0
# LXD throws away what is typed before its own program has the terminal, and nothing tells when that is.
SETTLING = 0.2


class LXDConsole(ByteStream):
    """Bytes both ways. `control` is the socket by which LXD learns that we are gone."""

    def __init__(self, data: ClientConnection, control: ClientConnection) -> None:
        self._data = data
        self._control = control
        self._rest = b""
        self._ended = False
        self._ready = asyncio.get_running_loop().time() + SETTLING

    async def read(self, limit: int = 65536) -> bytes:
        """Return what came; LXD sends an empty text when the console is at its end."""
        while not self._rest:
            if self._ended:
                return b""
            try:
                message = await self._data.recv()
            except ConnectionClosed:
                message = ""
            if isinstance(message, str):
                self._ended = not message
                message = message.encode()
            self._rest = message
        taken, self._rest = self._rest[:limit], self._rest[limit:]
        return taken

    async def write(self, data: bytes) -> None:
        """Send what was typed."""
        await asyncio.sleep(max(0.0, self._ready - asyncio.get_running_loop().time()))
        try:
            await self._data.send(data)
        except ConnectionClosed:
            raise ConsoleClosed("LXD closed the console") from None

    async def close(self) -> None:
        """Detach: the console is free for others when both are closed, of which each may wait for the other."""
        self._ended = True
        await asyncio.gather(self._control.close(), self._data.close(), return_exceptions=True)


async def require_free(lxd: LXD, instance: Instance) -> None:
    """Wait for a viewer who has just left. Raises `ConsoleBusy`."""
    place = f"{INSTANCES}/{instance.name}"
    deadline = asyncio.get_running_loop().time() + DETACHING
    while True:
        listed = await lxd.get("/1.0/operations", dict[str, list[Operation]], recursion="1")
        if not any(_is_console_of(place, one) for one in listed.get("running", [])):
            return
        if asyncio.get_running_loop().time() > deadline:
            raise ConsoleBusy(f"somebody else has the console of instance {instance.name!r}")
        await asyncio.sleep(0.1)


async def attached(lxd: LXD, begun: Operation) -> LXDConsole:
    """Open the WebSockets of a console that LXD offers."""
    secrets = msgspec.convert((begun.metadata or {}).get("fds") or {}, dict[str, str])
    if not {"0", "control"} <= secrets.keys():
        raise HypervisorError(f"LXD at {lxd.name} offered no console")
    path = f"/1.0/operations/{begun.id}/websocket"
    # This one first: LXD 5.0 does not survive a console that ends before it is there.
    control = await lxd.websocket(path, secret=secrets["control"])
    try:
        return LXDConsole(await lxd.websocket(path, secret=secrets["0"]), control)
    except BaseException:
        await control.close()
        raise


def _is_console_of(place: str, operation: Operation) -> bool:
    resources = operation.resources or {}
    return operation.description == "Showing console" and place in resources.get("instances", [])
