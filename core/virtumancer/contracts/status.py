"""How the product itself is doing: the states of hosts and plugins, as the API shows them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["HookCalls", "HostDetail", "HostState", "PluginInfo", "PluginState", "Timestamp"]

Timestamp = Annotated[datetime, Meta(tz=True)]
"""A time with its zone: UTC, as RFC 3339 in JSON."""


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
    credential_names: tuple[str, ...] = ()
    """The credentials that are set; their values are never shown."""
    title: str = ""
    """This and what follows is what people wrote down about it."""
    notes: str = ""
    tags: tuple[str, ...] = ()


class PluginState(StrEnum):
    """What became of a plugin."""

    ACTIVE = "active"
    DISABLED = "disabled"
    """Left out by the configuration; never imported."""
    ABSENT = "absent"
    """Its entry point is there, its package is not."""
    INCOMPATIBLE = "incompatible"
    """It needs another version of the contracts."""
    FAILED = "failed"
    """It could not be taken in; `phase` and `reason` say why."""
    DEGRADED = "degraded"
    """In use, but something of it keeps failing on a host and is tried again only now and then."""


class HookCalls(Struct, frozen=True):
    """What one thing that a plugin provided was called for since the start, over all hosts."""

    hook: str
    name: str
    calls: int
    failures: int
    """Calls that raised something unexpected, or did not finish in time."""
    seconds: float
    """How long all calls took together."""
    blocks: int = 0
    """How often it held up the whole server, for more than 100 ms each. Since 1.3."""


class PluginInfo(Struct, frozen=True, kw_only=True):
    """One plugin, its state and reason; `phase` is where it failed: resolve, import, validate,
    configure, collect, register or call."""

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
    host_actions: tuple[str, ...] = ()
    collectors: tuple[str, ...] = ()
    consoles: tuple[str, ...] = ()
    """The last segments of their routes below a VM."""
    listeners: tuple[str, ...] = ()
    authenticators: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    """Method and path below `/api/v1/plugins/<name>/`."""
    mounts: tuple[str, ...] = ()
    """Method and whole path of what it has outside of that place. Since 1.3."""
    lifespans: tuple[str, ...] = ()
    """What of it is open for as long as the server runs."""
    abilities: tuple[str, ...] = ()
    """The abilities that it gives to hosts of other drivers. Since 1.3."""
    resources: tuple[str, ...] = ()
    """The types of resources it adds, as `GET /resources` describes them."""
    event_types: tuple[str, ...] = ()
    """The types of events that it tells of, without its name before them. Since 1.3."""
    warnings: tuple[str, ...] = ()
    """What the plugin uses that a later version of the contracts will not have."""
    calls: tuple[HookCalls, ...] = ()
    blocks: int = 0
    """How often its code held up the whole server, for more than 100 ms each, in calls or in tasks of its own."""
