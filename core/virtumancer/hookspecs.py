"""Every hook a plugin can implement: called once at start-up, each returns classes, objects or descriptors.

pluggy is synchronous. Whatever has to be awaited is a method of what a hook returns, never the hook itself. A hook only
gains arguments: an implementation names those it wants and leaves the others out. `config` is the plugin's own
configuration, an instance of what its `virtumancer_config` returned, or None. Where a class is returned, the core
creates one object of it, without arguments.
"""

from collections.abc import Sequence
from typing import Any

from pluggy import HookimplMarker, HookspecMarker

from virtumancer.contracts import (
    AbilityAdapter,
    Authenticator,
    ConsoleTransport,
    EventListener,
    HostAction,
    HostDriver,
    Lifespan,
    Mount,
    PluginConfig,
    PluginEventType,
    PluginTables,
    ResourceType,
    Route,
    StaticFiles,
    StatsCollector,
    VMAction,
)

__all__ = [
    "PROJECT",
    "hookimpl",
    "virtumancer_abilities",
    "virtumancer_authenticators",
    "virtumancer_config",
    "virtumancer_console_transports",
    "virtumancer_event_listeners",
    "virtumancer_event_types",
    "virtumancer_host_actions",
    "virtumancer_host_drivers",
    "virtumancer_lifespans",
    "virtumancer_mounts",
    "virtumancer_resources",
    "virtumancer_routes",
    "virtumancer_stats_collectors",
    "virtumancer_tables",
    "virtumancer_vm_actions",
]

PROJECT = "virtumancer"
"""What pluggy knows the hooks by."""
hookspec = HookspecMarker(PROJECT)
hookimpl = HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def virtumancer_host_drivers(config: Any) -> Sequence[HostDriver | type[HostDriver]]:
    """Return the drivers of this plugin.

    Each names the URI schemes it serves; a scheme that two plugins claim is refused with both their names.

    ```python
    @hookimpl
    def virtumancer_host_drivers(config: MyConfig) -> list[HostDriver]:
        return [MyDriver(config.address)]
    ```

    Since 1.0; `config` since 1.1.
    """
    return ()


@hookspec
def virtumancer_vm_actions(config: Any) -> Sequence[VMAction]:
    """Return the actions of this plugin.

    Each becomes `POST /api/v1/hosts/{host}/vms/{vm}/{name}`; a name that two plugins claim is refused with both
    their names.

    ```python
    @hookimpl
    def virtumancer_vm_actions() -> list[VMAction]:
        return [VMAction(name="nudge", title="Nudge", description="Wake it up.", run=nudge, params=Nudge)]
    ```

    Since 1.0; `config` since 1.1.
    """
    return ()


@hookspec
def virtumancer_host_actions(config: Any) -> Sequence[HostAction]:
    """Return the actions on hosts of this plugin.

    Each becomes `POST /api/v1/hosts/{host}/{name}`, and is always an operation; a name that two plugins claim is
    refused with both their names.

    ```python
    @hookimpl
    def virtumancer_host_actions() -> list[HostAction]:
        return [HostAction(name="tidy", title="Tidy", description="Remove what is left.", run=tidy, answer=Nudges)]
    ```

    Since 1.3.
    """
    return ()


@hookspec
def virtumancer_stats_collectors(config: Any) -> Sequence[StatsCollector | type[StatsCollector]]:
    """Return the collectors of this plugin.

    Each runs in a task of its own for every connected host, at its own interval and with a deadline.

    ```python
    @hookimpl
    def virtumancer_stats_collectors() -> list[type[StatsCollector]]:
        return [MyCollector]
    ```

    Since 1.0; `config` since 1.1.
    """
    return ()


@hookspec
def virtumancer_console_transports(config: Any) -> Sequence[ConsoleTransport | type[ConsoleTransport]]:
    """Return the console transports of this plugin.

    Each serves one kind of console below a VM; a kind or suffix that two plugins claim is refused with both their
    names.

    ```python
    @hookimpl
    def virtumancer_console_transports() -> list[type[ConsoleTransport]]:
        return [MyTransport]
    ```

    Since 1.0; `config` since 1.1.
    """
    return ()


@hookspec
def virtumancer_event_listeners(config: Any) -> Sequence[EventListener | type[EventListener]]:
    """Return the event listeners of this plugin.

    Each is told what happens in a task of its own, with a queue of its own; a slow one misses events and is told so.

    ```python
    @hookimpl
    def virtumancer_event_listeners(config: MyConfig) -> list[EventListener]:
        return [MyListener(config.address)]
    ```

    Since 1.1.
    """
    return ()


@hookspec
def virtumancer_routes(config: Any) -> Sequence[Route | StaticFiles]:
    """Return the routes of this plugin.

    Each is mounted below `/api/v1/plugins/<name>/`, never elsewhere; a path that is there twice is refused.

    ```python
    @hookimpl
    def virtumancer_routes() -> list[Route]:
        return [Route(method="GET", path="nudges/{vm}", summary="Count the nudges.", handle=count, answer=Nudges)]
    ```

    Since 1.1.
    """
    return ()


@hookspec
def virtumancer_resources(config: Any) -> Sequence[ResourceType[Any, Any, Any]]:
    """Return the types of resources of this plugin.

    Each is mounted below its parent, as `/api/v1/hosts/{host}/vms/{vm}/snapshots`; a name that two plugins claim is
    refused with both their names.

    ```python
    from collections.abc import Sequence
    from typing import Any

    from msgspec import Struct
    from virtumancer.errors import ResourceExists

    class Note(Struct, frozen=True):
        name: str
        text: str

    class Notes(Collection[Note]):
        def __init__(self) -> None:
            self.notes: dict[str, Note] = {}

        async def list(self, at: ResourceContext) -> Sequence[Note]:
            return tuple(self.notes.values())

        async def create(self, at: ResourceContext, spec: Note, job: Job) -> Note:
            if spec.name in self.notes:
                raise ResourceExists(f"there is a note {spec.name!r} already")
            return self.notes.setdefault(spec.name, spec)

    @hookimpl
    def virtumancer_resources() -> list[ResourceType]:
        return [
            ResourceType(
                name="notes", singular="note", title="Notes", item=Note, create=Note, served_by=Notes(),
                rights=Rights(write="metadata"),
            )
        ]
    ```

    Since 1.3.
    """
    return ()


@hookspec
def virtumancer_abilities(config: Any) -> Sequence[AbilityAdapter]:
    """Return the adapters of this plugin, which give abilities to the connections of other plugins' drivers.

    Each is asked when a host's driver does not serve the ability itself, and the host has what the adapter needs.

    ```python
    from abc import abstractmethod

    class Uptime(Ability):
        ability = "uptime"

        @abstractmethod
        async def seconds(self, uuid: str) -> float:
            ...

    class UptimeByScreen(Uptime):
        def __init__(self, screens: SupportsScreenshot) -> None:
            self.screens = screens

        async def seconds(self, uuid: str) -> float:
            return float(len((await self.screens.screenshot(uuid)).png))

    @hookimpl
    def virtumancer_abilities() -> list[AbilityAdapter]:
        return [AbilityAdapter(kind=Uptime, needs=SupportsScreenshot, make=UptimeByScreen)]
    ```

    Since 1.3.
    """
    return ()


@hookspec
def virtumancer_authenticators(config: Any) -> Sequence[Authenticator | type[Authenticator]]:
    """Return the authenticators of this plugin.

    Each is asked who calls when a request has one of its headers and no token, ticket or session. It says who somebody
    is and in which groups; what these may do is in `[access.groups]` of the configuration.

    ```python
    import hmac

    class ProxyUser(Authenticator):
        name = "proxy-user"
        headers = ("x-remote-user", "x-proxy-secret")

        def __init__(self, secret: str) -> None:
            self.secret = secret

        async def authenticate(self, request: AuthRequest) -> Identity | None:
            # Everybody who gets past the proxy can send any header: only the secret says that it was the proxy.
            given = request.headers.get("x-proxy-secret", "")
            if not hmac.compare_digest(given.encode(), self.secret.encode()):
                return None
            user = request.headers.get("x-remote-user", "")
            return Identity(user, groups=("operators",)) if user else None

    @hookimpl
    def virtumancer_authenticators(config: MyConfig) -> list[Authenticator]:
        return [ProxyUser(config.secret.reveal())]
    ```

    Since 1.2.
    """
    return ()


@hookspec(firstresult=True)
def virtumancer_config() -> type[PluginConfig]:
    """Return the Struct of this plugin's table `[plugins.<name>]` in the configuration file.

    The table is checked against it before any other hook is called; one that does not fit leaves the plugin out, and
    `virtumancer check-config` says so.

    ```python
    @hookimpl
    def virtumancer_config() -> type[PluginConfig]:
        return MyConfig
    ```

    Since 1.1.
    """
    return PluginConfig


@hookspec
def virtumancer_lifespans(config: Any) -> Sequence[Lifespan | type[Lifespan]]:
    """Return what lives as long as the server does.

    Each is opened in a task of its own when the server starts, and closed when it stops. One that cannot be opened is
    tried again and stops nobody.

    ```python
    @hookimpl
    def virtumancer_lifespans(config: MyConfig) -> list[Lifespan]:
        return [MyLifespan(config.address)]
    ```

    Since 1.3.
    """
    return ()


@hookspec(firstresult=True)
def virtumancer_tables() -> PluginTables | None:
    """Return where the tables of this plugin are, for the server's database.

    They are made and changed at start-up, each plugin's in a transaction of its own. When that fails, the server runs,
    and whoever uses them meets an error with the reason.

    ```python
    @hookimpl
    def virtumancer_tables() -> PluginTables:
        return PluginTables(models="my_plugin.models", migrations="my_plugin.migrations")
    ```

    Since 1.3.
    """
    return None


@hookspec
def virtumancer_mounts(config: Any) -> Sequence[Mount]:
    """Return what has to be elsewhere than below `/api/v1/plugins/<name>/`.

    A place of the server, or of another plugin, is refused with both names; the operator can give it another path, or
    none. All else is as for routes.

    ```python
    async def metrics(request: RouteRequest) -> bytes:
        return text.encode()

    @hookimpl
    def virtumancer_mounts() -> list[Mount]:
        route = Route(method="GET", path="", summary="Metrics", handle=metrics, answer=bytes, media="text/plain")
        return [Mount(name="metrics", path="/metrics", content=route)]
    ```

    Since 1.3.
    """
    return ()


@hookspec
def virtumancer_event_types(config: Any) -> Sequence[PluginEventType[Any]]:
    """Return the types of events that this plugin tells of, beside those of its resources.

    They are told with all others, under the plugin's name: `backup.done` for the type `done` of the plugin `backup`. A
    lifespan publishes them through its context.

    ```python
    from typing import Any

    from msgspec import Struct

    class Done(Struct):
        bytes: int

    DONE = PluginEventType(name="done", data=Done, description="A backup of a VM is complete.")

    @hookimpl
    def virtumancer_event_types() -> list[PluginEventType[Any]]:
        return [DONE]
    ```

    Since 1.3.
    """
    return ()
