"""Resources of other plugins, as a plugin uses them: by their public descriptors, without importing who serves them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Never

from msgspec import Struct
from typing_extensions import TypeVar

from virtumancer.errors import AbilityMissing

if TYPE_CHECKING:  # contexts of actions hold these, and descriptors name the parameters of actions
    from virtumancer.contracts.jobs import Job
    from virtumancer.contracts.resources import ByteSpan, ResourceType

__all__ = ["CollectionAccess", "Collections", "HasCollections", "NoCollections"]

I = TypeVar("I", bound=Struct)  # noqa: E741 - an item
N = TypeVar("N", bound=Struct, default=Never)
C = TypeVar("C", bound=Struct, default=Never)


class CollectionAccess(ABC, Generic[I, N, C]):
    """A collection at its place. Since 1.3.

    Each call has the deadline of its type, is counted and checked, and what goes wrong in it is the failure of who
    serves it. Where somebody asks for what the plugin does, they need the right of each verb: raises `Forbidden`. Also
    raises what the host and the collection raise, as `HostUnavailable`, `VMNotFound`, `ResourceNotFound`, and
    `AbilityMissing` for a host that has none.

    What is changed is on record in the audit log, told by events, and done alone: `Busy` when somebody else changes the
    item or has its VM. The VM that an action or a write of a resource is about is at its own disposal.
    """

    @abstractmethod
    async def list(self) -> Sequence[I]:
        """Return all items."""

    @abstractmethod
    async def get(self, key: str = "") -> I:
        """Return one item; a singleton has no key."""

    @abstractmethod
    async def create(self, spec: N, job: "Job | None" = None) -> I:
        """Make an item. Raises `ResourceExists`."""

    @abstractmethod
    async def plan(self, spec: N) -> Any:
        """Say what creating it would do, as the `plan` of the type."""

    @abstractmethod
    async def change(self, key: str, change: C, job: "Job | None" = None) -> I:
        """Change an item; what is `UNSET` in the change stays."""

    @abstractmethod
    async def delete(self, key: str = "", job: "Job | None" = None) -> None:
        """Remove an item."""

    @abstractmethod
    async def act(self, action: str, key: str = "", params: Struct | None = None, job: "Job | None" = None) -> Any:
        """Do something else with an item, and return the answer of the action, None for nothing."""

    @abstractmethod
    async def size(self, key: str = "") -> int:
        """Return how many bytes the content of an item has."""

    @abstractmethod
    async def sha256(self, key: str = "") -> bytes | None:
        """Return the SHA-256 of the content of an item where it is known."""

    @abstractmethod
    def read(self, key: str, span: "ByteSpan") -> AsyncIterator[bytes]:
        """Yield the bytes of a span, just as many; close it when you need no more."""

    @abstractmethod
    async def write(self, key: str, span: "ByteSpan", chunks: AsyncIterator[bytes], job: "Job | None" = None) -> None:
        """Write bytes at the place of the span."""


class Collections(ABC):
    """The resources that all plugins of this server serve. Since 1.3."""

    @abstractmethod
    def collection(
        self, type_: "ResourceType[I, N, C]", *keys: str, host: str = "", vm: str = "", query: Any = None
    ) -> CollectionAccess[I, N, C]:
        """Return the items of a type: on a host by its id, on a VM by its UUID or name, below parents by their `keys`.

        `query` are the parameters of the type for reading, its `options` for changing. Raises `AbilityMissing` with the
        name of the type when no plugin of this server serves it.
        """


class NoCollections(Collections):
    """Where no plugin serves anything, as in tests of an action by itself."""

    def collection(
        self, type_: "ResourceType[I, N, C]", *keys: str, host: str = "", vm: str = "", query: Any = None
    ) -> CollectionAccess[I, N, C]:
        """Raise `AbilityMissing`."""
        raise AbilityMissing(f"no plugin of this server serves {type_.name}", ability=type_.name)


class HasCollections:
    """What a plugin is handed where it may use resources of others. Since 1.3."""

    __slots__ = ()
    collections: Collections

    def collection(
        self, type_: "ResourceType[I, N, C]", *keys: str, host: str = "", vm: str = "", query: Any = None
    ) -> CollectionAccess[I, N, C]:
        """Return the items of another plugin's type, as `Collections.collection` does."""
        return self.collections.collection(type_, *keys, host=host, vm=vm, query=query)
