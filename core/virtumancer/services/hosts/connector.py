"""Dialling a host: its driver, the SSH keys that count, and what happens to newly accepted ones."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

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
    Secret,
    ShownHostKey,
    SupportsHostKeyScan,
    UnknownHostKeys,
)
from virtumancer.errors import AbilityMissing, HostKeyChanged, InvalidValue, VirtumancerError
from virtumancer.plugins import DriverEntry, Plugins
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.connection import guarded_connection
from virtumancer.plugins.calls.host_calls import DRIVERS_HOOK, HostCalls
from virtumancer.plugins.calls.return_types import CONNECTION, SHOWN_KEYS
from virtumancer.services.hosts.credentials import HostCredentials, check_credential_names
from virtumancer.services.hosts.key_change_alert import HostKeyChangeAlert
from virtumancer.store import HostsRepository

__all__ = ["HostConnector", "NewConnection"]

# The driver keeps the deadline itself and knows better what it was waiting for; ours comes a little later.
GRACE = 2.0


class NewConnection(Struct, frozen=True):
    """A connection that was made, and the host keys accepted on the way."""

    connection: HostConnection
    accepted: tuple[HostKey, ...]


class HostConnector:
    """Connects to hosts through the drivers of the plugins."""

    def __init__(
        self,
        plugins: Plugins,
        store: HostsRepository,
        settings: ConnectSettings,
        unknown_host_keys: UnknownHostKeys,
        health: PluginCaller,
        alarm: HostKeyChangeAlert,
        credentials: HostCredentials,
    ) -> None:
        self._plugins = plugins
        self._store = store
        self._settings = settings
        self._unknown_host_keys: UnknownHostKeys = unknown_host_keys
        self._health = health
        self._alarm = alarm
        self._credentials = credentials

    @property
    def settings(self) -> ConnectSettings:
        """The deadlines that every connection lives by."""
        return self._settings

    def plugin_of(self, host: Host) -> str:
        """Name the plugin that serves a host, empty when none does."""
        entry = self._plugins.drivers.get(_scheme(host.uri))
        return entry.plugin if entry else ""

    def entry_for(self, host: Host) -> DriverEntry:
        """Find the driver for a host. Raises `InvalidValue` for a URI that no driver serves, or can ever serve."""
        scheme = _scheme(host.uri)
        entry = self._plugins.drivers.get(scheme)
        if entry is None:
            raise InvalidValue(_no_driver(scheme, self._plugins.drivers, self._plugins.infos), field="uri")
        call = PluginCall(entry.plugin, DRIVERS_HOOK, "check_uri", host.id)
        self._health.counted_at_once(
            call, f"checking the URI of host {host.id!r}", lambda: entry.driver.check_uri(host.uri)
        )
        return entry

    async def first(self, host: Host, approved: Collection[str], credentials: Mapping[str, Secret]) -> NewConnection:
        """Connect to a host that is not stored yet; the caller stores it with the accepted keys and the credentials."""
        return await self._dial(host, HostKeyPolicy((), frozenset(approved), self._unknown_host_keys), credentials)

    async def again(self, host: Host, approved: Collection[str] = ()) -> HostConnection:
        """Connect to a stored host, and pin what was newly accepted."""
        pinned = await self._store.keys(host.id)
        try:
            policy = HostKeyPolicy(pinned, frozenset(approved), self._unknown_host_keys)
            dialling = await self._dial(host, policy, await self._credentials.of_host(host.id))
        except HostKeyChanged as error:
            await self._alarm.raise_for(host.id, error)
            raise
        try:
            await self._store.add_keys(host.id, dialling.accepted, pinned)
        except BaseException:  # the host was removed meanwhile, or the attempt is cancelled: nobody else has it
            with suppress(VirtumancerError):
                await dialling.connection.aclose()
            raise
        self._alarm.clear(host.id)
        return dialling.connection

    async def trial(self, host: Host, pinned: tuple[HostKey, ...], approved: Collection[str]) -> NewConnection:
        """Connect while only these keys count; nothing is pinned, and nothing unknown is accepted."""
        policy = HostKeyPolicy(pinned, frozenset(approved), "refuse")
        return await self._dial(host, policy, await self._credentials.of_host(host.id))

    async def scan(self, host: Host, pinned: tuple[HostKey, ...]) -> tuple[ShownHostKey, ...]:
        """Ask a host, stored or not, which keys it shows, without logging in. Raises `AbilityMissing`."""
        entry = self.entry_for(host)
        driver = entry.driver
        if not isinstance(driver, SupportsHostKeyScan):
            raise AbilityMissing(f"plugin {entry.plugin!r} cannot show the keys of a host", ability="host-key-scan")
        # Nothing is accepted only because somebody looks, however lenient connecting is.
        context = ConnectContext(self._settings, HostKeyPolicy(pinned))
        shown = await self._health.counted(
            PluginCall(entry.plugin, DRIVERS_HOOK, "scan_host_keys", host.id),
            f"looking at the keys of host {host.id!r}",
            lambda: driver.scan_host_keys(host, context),
            self._settings.connect_timeout + GRACE,
            SHOWN_KEYS,
        )
        return tuple(shown)

    async def _dial(self, host: Host, policy: HostKeyPolicy, credentials: Mapping[str, Secret]) -> NewConnection:
        entry = self.entry_for(host)
        check_credential_names(entry.driver, host, credentials)
        context = ConnectContext(self._settings, policy, credentials)
        connection = await self._health.counted(
            PluginCall(entry.plugin, DRIVERS_HOOK, "connect", host.id),
            f"connecting to host {host.id!r}",
            lambda: entry.driver.connect(host, context),
            self._settings.connect_timeout + GRACE,
            CONNECTION,
        )
        calls = HostCalls(entry.plugin, host.id, self._health, self._settings.slow_call_timeout + GRACE)
        return NewConnection(
            guarded_connection(connection, calls, tuple(self._plugins.abilities.values())), policy.newly_accepted
        )


def _scheme(uri: str) -> str:
    return uri.partition(":")[0].partition("+")[0].lower()


def _no_driver(scheme: str, drivers: Mapping[str, DriverEntry], infos: Sequence[PluginInfo]) -> str:
    known = ", ".join(sorted(drivers)) or "none"
    broken = [f"{i.name} ({i.reason})" for i in infos if i.state not in (PluginState.ACTIVE, PluginState.DISABLED)]
    hint = f"; plugins that could not be loaded: {', '.join(broken)}" if broken else ""
    return f"no plugin serves URIs of scheme {scheme!r}; known schemes: {known}{hint}"
