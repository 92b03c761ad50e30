"""Readiness: whether this server can do its work, and which part of it cannot."""

import asyncio
import time

from msgspec import Struct

from virtumancer.contracts import HostState, PluginInfo, PluginState
from virtumancer.errors import VirtumancerError
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.services.hosts.service import HostsService
from virtumancer.store import StoreProbe

__all__ = ["Part", "Readiness", "is_failing"]

FAILING = frozenset({PluginState.FAILED, PluginState.INCOMPATIBLE, PluginState.DEGRADED})
WELL = frozenset({HostState.CONNECTED, HostState.STOPPED})
DEADLINE = 2.0
# Who asks all the time costs the database one write a second; in between it is only asked whether it would take one.
WRITES = 1.0


class Part(Struct, frozen=True):
    """One part of the server, and whether it works."""

    name: str
    """`server`, `store`, `hosts` or `plugins`."""
    ok: bool
    needed: bool
    """Without it the server is not ready; the others may fail without stopping the rest."""
    reason: str
    """What is wrong with it; only for who may read everything."""


class Readiness:
    """Looks at every part, within two seconds."""

    def __init__(self, probe: StoreProbe, hosts: HostsService, plugins: PluginCaller) -> None:
        self._probe = probe
        self._hosts = hosts
        self._plugins = plugins
        self._asking: asyncio.Task[str] | None = None
        self._written = float("-inf")
        self._stopping = False

    def note_stopping(self) -> None:
        """Be ready no more: the server stops."""
        self._stopping = True

    async def aclose(self) -> None:
        """Wait for the question that is still open, whose end the database decides."""
        if self._asking:
            await asyncio.wait({self._asking})

    async def parts(self) -> tuple[Part, ...]:
        """Say of every part whether it works."""
        return (
            _part("server", "it stops" if self._stopping else "", needed=True),
            _part("store", await self._store(), needed=True),
            _part("hosts", self._hosts_in_trouble(), needed=False),
            _part("plugins", self._failing_plugins(), needed=False),
        )

    async def _store(self) -> str:
        """Ask the database, once for all who want to know meanwhile: what hangs must not pile up."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="readiness")
        asking = self._asking
        await asyncio.wait({asking}, timeout=DEADLINE)
        if not asking.done():
            return f"the database does not answer within {DEADLINE:g} s"
        return asking.result()

    async def _ask(self) -> str:
        """Return what is wrong with the database: it may be said when nobody waits for it any more."""
        try:
            if time.monotonic() - self._written < WRITES:
                await self._probe.ask(write=False)
            else:
                await self._probe.ask(write=True)
                self._written = time.monotonic()
        except VirtumancerError as error:
            return error.message
        return ""

    def _hosts_in_trouble(self) -> str:
        details = [self._hosts.session(host_id).detail(declared=False) for host_id in self._hosts.ids()]
        return "; ".join(f"{host.id} is {host.state}: {host.reason}" for host in details if host.state not in WELL)

    def _failing_plugins(self) -> str:
        return "; ".join(
            f"{info.name} is {info.state}: {info.reason}" for info in self._plugins.infos() if is_failing(info)
        )


def is_failing(info: PluginInfo) -> bool:
    """Say whether a plugin is not, or not wholly, in use although it should be; one may be absent on purpose."""
    return info.state in FAILING or (info.state is PluginState.ABSENT and info.phase == "resolve")


def _part(name: str, reason: str, *, needed: bool) -> Part:
    return Part(name, not reason, needed, reason)
