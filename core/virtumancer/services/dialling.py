"""Dialling a host: its driver, the SSH keys that count, and what happens to newly accepted ones."""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from virtumancer.contracts import (
    ConnectContext,
    ConnectSettings,
    Host,
    HostConnection,
    HostKey,
    HostKeyPolicy,
    PluginInfo,
    PluginState,
    UnknownHostKeys,
)
from virtumancer.errors import InvalidValue
from virtumancer.plugins import DriverEntry, Plugins
from virtumancer.services.guard import guarded
from virtumancer.store import HostsRepository

__all__ = ["Dialler", "Dialling"]

# The driver keeps the deadline itself and knows better what it was waiting for; ours comes a little later.
GRACE = 2.0


class Dialling(Struct, frozen=True):
    """A connection that was made, and the host keys accepted on the way."""

    connection: HostConnection
    accepted: tuple[HostKey, ...]


class Dialler:
    """Connects to hosts through the drivers of the plugins."""

    def __init__(
        self, plugins: Plugins, store: HostsRepository, settings: ConnectSettings, unknown_host_keys: UnknownHostKeys
    ) -> None:
        self._plugins = plugins
        self._store = store
        self._settings = settings
        self._unknown_host_keys: UnknownHostKeys = unknown_host_keys

    @property
    def settings(self) -> ConnectSettings:
        """The deadlines that every connection lives by."""
        return self._settings

    def entry_for(self, uri: str) -> DriverEntry:
        """Find the driver for a URI. Raises `InvalidValue` for a URI that no driver serves, or can ever serve."""
        scheme = uri.partition(":")[0].partition("+")[0].lower()
        entry = self._plugins.drivers.get(scheme)
        if entry is None:
            raise InvalidValue(_no_driver(scheme, self._plugins.drivers, self._plugins.infos), field="uri")
        entry.driver.check_uri(uri)
        return entry

    async def first(self, host: Host, approved: Collection[str]) -> Dialling:
        """Connect to a host that is not stored yet; the caller stores it with the accepted keys."""
        return await self._dial(host, HostKeyPolicy((), frozenset(approved), self._unknown_host_keys))

    async def again(self, host: Host, approved: Collection[str] = ()) -> HostConnection:
        """Connect to a stored host, and pin what was newly accepted."""
        pinned = await self._store.keys(host.id)
        dialling = await self._dial(host, HostKeyPolicy(pinned, frozenset(approved), self._unknown_host_keys))
        if dialling.accepted:
            await self._store.add_keys(host.id, dialling.accepted)
        return dialling.connection

    async def _dial(self, host: Host, policy: HostKeyPolicy) -> Dialling:
        entry = self.entry_for(host.uri)
        connecting = entry.driver.connect(host, ConnectContext(self._settings, policy))
        deadline = self._settings.connect_timeout + GRACE
        connection = await guarded(entry.plugin, f"connecting to host {host.id!r}", connecting, deadline)
        return Dialling(connection, policy.newly_accepted)


def _no_driver(scheme: str, drivers: Mapping[str, DriverEntry], infos: Sequence[PluginInfo]) -> str:
    known = ", ".join(sorted(drivers)) or "none"
    broken = [f"{i.name} ({i.reason})" for i in infos if i.state not in (PluginState.ACTIVE, PluginState.DISABLED)]
    hint = f"; plugins that could not be loaded: {', '.join(broken)}" if broken else ""
    return f"no plugin serves URIs of scheme {scheme!r}; known schemes: {known}{hint}"
