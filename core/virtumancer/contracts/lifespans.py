"""What lives as long as the server does: a part of a plugin that is opened and closed, and what it is handed."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

from msgspec import Struct

from virtumancer.contracts.collections import Collections, HasCollections, NoCollections
from virtumancer.contracts.figures import ServerFigures
from virtumancer.contracts.plugin_events import PluginEventType
from virtumancer.contracts.routes import Hosts

__all__ = ["Lifespan", "PluginContext", "PluginDatabase"]

T = TypeVar("T")
D = TypeVar("D", bound=Struct)


class PluginDatabase(ABC):
    """The server's database, for the tables that a plugin declares by `virtumancer_tables`. Since 1.3."""

    @property
    @abstractmethod
    def dialect(self) -> str:
        """Return `sqlite` or `postgresql`."""

    @abstractmethod
    async def unit(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that uses the plugin's models, and return what it returns.

        It is finished even if the task that asked for it is cancelled, and has 5 s. Keep it short, and wait for
        nothing but the database in it. Raises `StoreUnavailable`; `PluginFailed` when the tables could not be made.
        """


class PluginContext(HasCollections, ABC):
    """What a plugin is handed while the server is open. Since 1.3."""

    collections: Collections = NoCollections()
    """The resources of other plugins; nobody is asked for rights."""

    @property
    @abstractmethod
    def plugin(self) -> str:
        """Return the name under which the plugin was loaded."""

    @property
    @abstractmethod
    def hosts(self) -> Hosts:
        """Return the hosts of this server."""

    @property
    @abstractmethod
    def database(self) -> PluginDatabase:
        """Return the database, for the tables of this plugin. Raises `PluginFailed` when it declares none."""

    @property
    @abstractmethod
    def figures(self) -> ServerFigures:
        """Return the server's own figures and spans."""

    @abstractmethod
    def publish(self, event_type: PluginEventType[D], data: D, *, host: str = "", vm: str = "", name: str = "") -> None:
        """Tell everybody who may see it of an event of a type that `virtumancer_event_types` returned.

        It is about a `host` by its id, and a `vm` on it by its UUID, or about neither; `name` is the VM's. Raises
        `PluginFailed` for what does not fit its type, and for more than 50 in a second, after 500 at once.
        """

    @abstractmethod
    def start_task(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` in a task until it returns, or until the lifespan is closed.

        What it raises is held against the plugin, and it is run again after 1 s, then after twice as long each time,
        60 s at most. A name is used once at a time, and there are 100 at most. Raises `InvalidValue`.
        """


class Lifespan(ABC):
    """Something that is opened when the server starts and closed when it stops; created once, at start-up. Since 1.3.

    One with a client, and a task that uses it::

        class Poller(Lifespan):
            name = "poller"

            @asynccontextmanager
            async def open(self, context: PluginContext) -> AsyncGenerator[None]:
                async with Client() as self.client:
                    context.start_task("poll", self.poll)
                    yield
    """

    name: ClassVar[str]
    """What it is called in the log and in what is shown of the plugin."""
    start_timeout: ClassVar[float] = 30.0
    """Seconds that opening may take; when it fails, it is tried again, and the server runs meanwhile."""
    stop_timeout: ClassVar[float] = 5.0
    """Seconds that closing may take; its tasks are ended before."""

    @abstractmethod
    def open(self, context: PluginContext) -> AbstractAsyncContextManager[object]:
        """Return the context that is entered at the start and left at the end, in one and the same task."""
