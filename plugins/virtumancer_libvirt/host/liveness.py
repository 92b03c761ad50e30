"""Knows whether the connection to a host lives, and ends everything at once when it does not."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from virtumancer.errors import HostLost

__all__ = ["Liveness", "Tunnel"]

log = logging.getLogger(__name__)

_CLOSE_REASONS = {
    0: "the libvirt daemon on the host broke the connection; it may have crashed or been restarted",
    1: "the libvirt daemon on the host closed the connection; it may have been restarted",
    2: "the libvirt daemon on the host did not answer keepalives",
}


class Tunnel(Protocol):
    """The transport under a connection where it is ours: everything stuck in it fails when it is cut."""

    async def wait_lost(self) -> str:
        """Return the reason once it is gone."""
        ...

    def cut(self, reason: str) -> None:
        """End it at once, without a word to the other side."""
        ...

    async def aclose(self) -> None:
        """End it in order."""
        ...


class Liveness:
    """The life of one connection. `on_lost` is called once, on the event loop, when it ends unasked."""

    def __init__(self, label: str, tunnel: Tunnel | None, on_lost: Callable[[], None]) -> None:
        self._label = label
        self._tunnel = tunnel
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reason: asyncio.Future[str] = self._loop.create_future()
        self._watch = None if tunnel is None else asyncio.create_task(self._watch_tunnel(tunnel))

    def check(self) -> None:
        """Raise `HostLost` when there is no connection any more."""
        if self._reason.done():
            raise HostLost(f"The connection to host {self._label} is gone: {self._reason.result()}.")

    async def wait_lost(self) -> str:
        """Return the reason as soon as the connection is lost."""
        return await asyncio.shield(self._reason)

    def lose(self, reason: str) -> None:
        """Declare the connection lost: what hangs in the tunnel fails at once."""
        if self._reason.done():
            return
        self._reason.set_result(reason)
        if self._tunnel is not None:
            self._tunnel.cut(reason)
        self._on_lost()

    def closed_by_libvirt(self, code: int) -> None:
        """Take the word of libvirt's close callback; called on libvirt's thread."""
        reason = _CLOSE_REASONS.get(code, "libvirt closed it")
        try:
            self._loop.call_soon_threadsafe(self.lose, reason)
        except RuntimeError:  # the event loop is closed, so nobody waits any more
            log.debug("host %s was lost after the end: %s", self._label, reason)

    async def aclose(self) -> None:
        """End the tunnel; what is still stuck in it fails."""
        if self._tunnel is not None and self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
            await self._tunnel.aclose()

    def cut(self, reason: str) -> None:
        """End the tunnel at once while closing: the host hangs."""
        if self._tunnel is not None:
            self._tunnel.cut(reason)

    async def _watch_tunnel(self, tunnel: Tunnel) -> None:
        self.lose(await tunnel.wait_lost())
