"""The synchronous client: the methods of the asynchronous one, which wait."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from msgspec import Struct

from virtumancer.client.access import AsyncAccess
from virtumancer.client.asynchronous import AsyncClient
from virtumancer.client.blocking import Blocking, LoopThread, blocking, iterating
from virtumancer.client.blocking_resource import Resource
from virtumancer.client.consoles import AsyncConsoles, ConsoleStream
from virtumancer.client.events import AsyncEvents
from virtumancer.client.hosts import AsyncHosts
from virtumancer.client.operations import AsyncOperations
from virtumancer.client.retrying import Retries
from virtumancer.client.server import AsyncServer
from virtumancer.client.vms import AsyncVMs
from virtumancer.contracts import ResourceType
from virtumancer.contracts.responses import OnBusy

__all__ = ["Access", "Client", "Console", "Consoles", "Events", "Hosts", "Operations", "Resource", "Server", "VMs"]

I = TypeVar("I", bound=Struct)  # noqa: E741 - an item
N = TypeVar("N", bound=Struct)
C = TypeVar("C", bound=Struct)


class Server(Blocking):
    """The server itself."""

    health = blocking(AsyncServer.health)
    resources = blocking(AsyncServer.resources)
    plugins = blocking(AsyncServer.plugins)
    plugin = blocking(AsyncServer.plugin)
    openapi = blocking(AsyncServer.openapi)
    audit = blocking(AsyncServer.audit)
    call = blocking(AsyncServer.call)


class Hosts(Blocking):
    """The hosts."""

    list = blocking(AsyncHosts.list)
    get = blocking(AsyncHosts.get)
    add = blocking(AsyncHosts.add)
    begin_add = blocking(AsyncHosts.begin_add)
    change_credentials = blocking(AsyncHosts.change_credentials)
    remove = blocking(AsyncHosts.remove)
    info = blocking(AsyncHosts.info)
    samples = blocking(AsyncHosts.samples)
    connect = blocking(AsyncHosts.connect)
    begin_connect = blocking(AsyncHosts.begin_connect)
    actions = blocking(AsyncHosts.actions)
    begin = blocking(AsyncHosts.begin)
    disconnect = blocking(AsyncHosts.disconnect)
    host_keys = blocking(AsyncHosts.host_keys)
    remove_host_key = blocking(AsyncHosts.remove_host_key)
    rotate_host_key = blocking(AsyncHosts.rotate_host_key)
    scan = blocking(AsyncHosts.scan)
    scan_new = blocking(AsyncHosts.scan_new)
    approve_host_key = blocking(AsyncHosts.approve_host_key)
    metadata = blocking(AsyncHosts.metadata)
    set_metadata = blocking(AsyncHosts.set_metadata)
    change_metadata = blocking(AsyncHosts.change_metadata)


class VMs(Blocking):
    """The VMs."""

    list = blocking(AsyncVMs.list)
    find = blocking(AsyncVMs.find)
    get = blocking(AsyncVMs.get)
    rows = blocking(AsyncVMs.rows)
    stats = blocking(AsyncVMs.stats)
    hardware = blocking(AsyncVMs.hardware)
    screenshot = blocking(AsyncVMs.screenshot)
    actions = blocking(AsyncVMs.actions)
    metadata = blocking(AsyncVMs.metadata)
    set_metadata = blocking(AsyncVMs.set_metadata)
    change_metadata = blocking(AsyncVMs.change_metadata)
    act = blocking(AsyncVMs.act)
    begin = blocking(AsyncVMs.begin)
    begin_on_many = blocking(AsyncVMs.begin_on_many)


class Console(Blocking):
    """An open console, as a stream of bytes."""

    read = blocking(ConsoleStream.read)
    write = blocking(ConsoleStream.write)
    close = blocking(ConsoleStream.close)

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        self.close()


class Consoles(Blocking):
    """The consoles."""

    of_vm = blocking(AsyncConsoles.of_vm)
    ticket = blocking(AsyncConsoles.ticket)
    list = blocking(AsyncConsoles.list)
    get = blocking(AsyncConsoles.get)
    end = blocking(AsyncConsoles.end)

    def open(
        self, host: str, vm: str, kind: str = "serial", *, on_busy: OnBusy = "share", view_only: bool = False
    ) -> Console:
        """Open a console. Raises `ConsoleNotFound`, `WrongPowerState`, `ConsoleBusy` …"""
        opened = self.loop.run(partial(self.inner.open, host, vm, kind, on_busy=on_busy, view_only=view_only))
        return Console(opened, self.loop)


class Operations(Blocking):
    """The operations; `on_progress` is called in another thread."""

    list = blocking(AsyncOperations.list)
    get = blocking(AsyncOperations.get)
    wait = blocking(AsyncOperations.wait)
    cancel = blocking(AsyncOperations.cancel)


class Events(Blocking):
    """The events."""

    kept = iterating(AsyncEvents.kept)
    follow = iterating(AsyncEvents.follow)


class Access(Blocking):
    """Who may do what."""

    me = blocking(AsyncAccess.me)
    change_password = blocking(AsyncAccess.change_password)
    tokens = blocking(AsyncAccess.tokens)
    token = blocking(AsyncAccess.token)
    make_token = blocking(AsyncAccess.make_token)
    change_token = blocking(AsyncAccess.change_token)
    remove_token = blocking(AsyncAccess.remove_token)
    users = blocking(AsyncAccess.users)
    user = blocking(AsyncAccess.user)
    make_user = blocking(AsyncAccess.make_user)
    change_user = blocking(AsyncAccess.change_user)
    remove_user = blocking(AsyncAccess.remove_user)
    sign_in_link = blocking(AsyncAccess.sign_in_link)
    web_sessions = blocking(AsyncAccess.web_sessions)
    end_web_session = blocking(AsyncAccess.end_web_session)


class Client:
    """A server's API for programs without an event loop: `with Client("http://127.0.0.1:8890", token=…) as client`.

    It may be used by several threads. Everything else is as in `AsyncClient`.
    """

    def __init__(self, url: str, *, token: str = "", ca_file: str = "", retries: Retries | None = None) -> None:
        client = AsyncClient(url, token=token, ca_file=ca_file, retries=retries)
        loop = LoopThread()
        self._client = client
        self._loop = loop
        self._opened = ExitStack()
        self._opened.callback(loop.close)
        self._opened.callback(loop.run, client.aclose)
        self.server = Server(client.server, loop)
        self.hosts = Hosts(client.hosts, loop)
        self.vms = VMs(client.vms, loop)
        self.consoles = Consoles(client.consoles, loop)
        self.operations = Operations(client.operations, loop)
        self.events = Events(client.events, loop)
        self.access = Access(client.access, loop)

    @overload
    def of(self, type_: ResourceType[I, N, C], *place: str) -> Resource[I, N, C]: ...

    @overload
    def of(self, type_: str, *place: str) -> Resource[dict[str, Any], Mapping[str, Any], Mapping[str, Any]]: ...

    def of(self, type_: Any, *place: str) -> Resource[Any, Any, Any]:
        """Return the items of a type at a place, as `of(SNAPSHOTS, "kvm1", "web01")`; by name they are dictionaries.

        The place is what the parents are called, outermost first.
        """
        return Resource(self._client.of(type_, *place), self._loop)

    def __enter__(self) -> Self:
        """Nothing is opened before the first call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections, and end the thread; a second time does nothing."""
        self._opened.close()
