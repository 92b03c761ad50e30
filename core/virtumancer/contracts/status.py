"""How the product itself is doing: the states of hosts and plugins, as the API shows them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["HostDetail", "HostState", "PluginInfo", "PluginState", "Timestamp"]

Timestamp = Annotated[datetime, Meta(tz=True)]


class HostState(StrEnum):
    """Where the session of a host stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DEGRADED = "degraded"
    """Connected, but some of what we rely on does not work; the reason says what."""
    LOST = "lost"
    """Not reachable just now; another attempt is due at `retry_at`."""
    STOPPED = "stopped"
    """Disconnected by the user, until the user connects it again."""
    REFUSED = "refused"
    """The host or we said no: a host key, a login, a URI. Tried again only seldom, or when asked to."""


class HostDetail(Struct, frozen=True, kw_only=True):
    """A host and its session: state, why and since when; times are UTC."""

    id: str
    uri: str
    state: HostState
    reason: str
    code: str
    """The error code behind the reason, empty when there is none."""
    since: Timestamp
    retry_at: Timestamp | None
    driver: str
    """The plugin whose driver serves this host, empty when there is none."""
    abilities: tuple[str, ...]
    declared: bool
    """The host comes from the configuration file."""


class PluginState(StrEnum):
    """What became of a plugin."""

    ACTIVE = "active"
    DISABLED = "disabled"
    ABSENT = "absent"
    INCOMPATIBLE = "incompatible"
    FAILED = "failed"
    DEGRADED = "degraded"


class PluginInfo(Struct, frozen=True, kw_only=True):
    """One plugin, its state and reason; `phase` is where it failed: resolve, import, validate, register or collect."""

    name: str
    module: str
    distribution: str
    version: str
    state: PluginState
    phase: str = ""
    reason: str = ""
    drivers: tuple[str, ...] = ()
    """The URI schemes it serves."""
    actions: tuple[str, ...] = ()
    collectors: tuple[str, ...] = ()
    consoles: tuple[str, ...] = ()
