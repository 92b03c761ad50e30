"""Resources: kinds of objects that plugins add to hosts, VMs or the server, each described once. Since 1.3.

The core makes of a `ResourceType` its routes, rights, operations, events and description, the commands of the program
and the methods of the client; a plugin writes the `Collection` that serves it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Generic, Never

from msgspec import Struct
from typing_extensions import TypeVar

from virtumancer.contracts.abilities.base import Ability
from virtumancer.contracts.actions import NoParams
from virtumancer.contracts.callers import Caller
from virtumancer.contracts.collections import Collections, HasCollections, NoCollections
from virtumancer.contracts.jobs import Job
from virtumancer.contracts.models import VM, Host, VMRef, VMState
from virtumancer.errors import AbilityMissing

__all__ = [
    "HOSTS",
    "VMS",
    "ByteSpan",
    "Collection",
    "ContentCollection",
    "ResourceAction",
    "ResourceContext",
    "ResourceType",
    "ResourceVerb",
    "Rights",
    "lineage_of",
]

I = TypeVar("I", bound=Struct)  # noqa: E741 - an item
N = TypeVar("N", bound=Struct, default=Never)
C = TypeVar("C", bound=Struct, default=Never)
R = TypeVar("R", bound=Struct, default=Never)


class ResourceVerb(StrEnum):
    """What can be done with every kind of resource, as far as its type offers it."""

    LIST = "list"
    GET = "get"
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    DOWNLOAD = "download"
    UPLOAD = "upload"


class ByteSpan(Struct, frozen=True):
    """Some of the bytes of an item, from `start` up to but without `stop`; None for as many as come."""

    start: int = 0
    stop: int | None = None


class ResourceContext(Struct, HasCollections, frozen=True, kw_only=True):
    """Where a collection is, and who asks; it may grow."""

    type: "ResourceType[Any, Any, Any]"
    """What is asked for: a class may serve several types."""
    host: str = ""
    """The id of the host, empty for what is on none."""
    vm: VMRef | None = None
    """The VM as just looked up, None for what is on none."""
    keys: tuple[str, ...] = ()
    """The keys of the parents that are neither host nor VM, outermost first; these are there."""
    query: Any = None
    """The parameters of the query: the `query` of the type where something is read, its `options` where it is changed.

    None when the type has none.
    """
    actor: str = ""
    """Who asks, as in the audit log."""
    caller: Caller = Caller()
    """Who asks, and what they may do."""
    collections: Collections = NoCollections()
    """The resources of other plugins, with the rights of who asks."""


class Collection(Ability, Generic[I]):
    """Serves a type of resource; only what its descriptor offers is called.

    An action of the type is a method of its name, with `_` for `-`: `async def revert(self, at, key, job)`, with the
    parameters before the job when it has any. Methods raise errors of `virtumancer.errors`, as `ResourceNotFound`,
    `ResourceExists` and `InvalidValue`; what a host cannot do at all is left out, and is answered with 501.
    """

    async def list(self, at: ResourceContext) -> Sequence[I]:
        """Return all items, at a cost of round trips that does not grow with their number."""
        raise self._missing("list")

    async def get(self, at: ResourceContext, key: str) -> I | None:
        """Return one item, None when it is not there; the default looks for it in the list.

        The only item of a singleton has the key "".
        """
        items = await self.list(at)
        if at.type.singleton:
            return next(iter(items), None)
        return next((item for item in items if getattr(item, at.type.key) == key), None)

    async def create(self, at: ResourceContext, spec: Any, job: Job) -> I:
        """Make an item and return it as it is then. Raises `ResourceExists`."""
        raise self._missing("create")

    async def plan(self, at: ResourceContext, spec: Any) -> Any:
        """Say what creating it would do, as the `plan` of the type; nothing is changed."""
        raise self._missing("plan")

    async def change(self, at: ResourceContext, key: str, change: Any, job: Job) -> I:
        """Change an item and return it as it is then; what is `UNSET` in the change stays."""
        raise self._missing("change")

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        """Remove an item. Raises `ResourceNotFound`."""
        raise self._missing("delete")

    def _missing(self, verb: str) -> AbilityMissing:
        name = getattr(type(self), "ability", type(self).__name__)
        return AbilityMissing(f"{verb} is not possible here: {type(self).__name__} has no such method", ability=name)


class ContentCollection(Collection[I]):
    """Serves items that have bytes of their own, at `…/content`."""

    async def size(self, at: ResourceContext, key: str) -> int:
        """Return how many bytes an item has now. Raises `ResourceNotFound`."""
        raise self._missing("download")

    async def sha256(self, at: ResourceContext, key: str) -> bytes | None:
        """Return the SHA-256 of all bytes of an item where it is known, None where they would have to be read for it.

        What is sent is held against it: an item of other bytes breaks off before its end, and counts for no client.
        """
        return None

    def read(self, at: ResourceContext, key: str, span: ByteSpan) -> AsyncIterator[bytes]:
        """Yield the bytes of a span, in pieces of any size; `stop` is never None here.

        It is closed when the client leaves. What it raises breaks the answer off, so that no client takes it for whole.
        """
        raise self._missing("download")

    async def write(
        self, at: ResourceContext, key: str, span: ByteSpan, chunks: AsyncIterator[bytes], job: Job
    ) -> None:
        """Write what comes from a client at the place of the span; a piece is asked for when the one before is written.

        `chunks` raises when the client leaves before the end, or when a digest that it sent does not fit: nothing may
        count as complete before `chunks` has ended by itself.
        """
        raise self._missing("upload")


class Rights(Struct, frozen=True):
    """Which right each verb needs: `read` to look, `write` to change, `verbs` for single verbs and actions.

    A right that the core does not have is named in `roles`, with the roles that hold it: `viewer`, `operator`, or none
    but administrators, who have every right.
    """

    read: str = "read"
    write: str = ""
    verbs: Mapping[str, str] = {}
    roles: Mapping[str, tuple[str, ...]] = {}

    def of(self, verb: str) -> str:
        """Return the right that a verb or action needs."""
        reads = verb in {ResourceVerb.LIST, ResourceVerb.GET, ResourceVerb.DOWNLOAD}
        return self.verbs.get(verb, self.read if reads else self.write)


class ResourceAction(Struct, Generic[R], frozen=True, kw_only=True, eq=False):
    """Something else that can be done with an item: `POST …/{key}/{name}`.

    `params` is the body it takes, `answer` what it returns, None for nothing. `states` are the power states of the VM
    in which it makes sense. `timeout` is seconds for the whole run.
    """

    name: str
    title: str
    description: str = ""
    params: type[Struct] = NoParams
    answer: type[R] | None = None
    states: frozenset[VMState] | None = None
    destructive: bool = False
    timeout: float = 60.0


class ResourceType(Struct, Generic[I, N, C], frozen=True, kw_only=True, eq=False):
    """One type of resource: routes, rights, operations, events, commands and their description are made of it.

    `create`, `change` and `delete` say what can be done, beside reading; `content` that items have bytes.
    """

    name: str
    """In paths and commands, in the plural: `snapshots`."""
    singular: str
    """In events, operations and the names of path parameters: `snapshot`."""
    title: str
    """For people, in the plural."""
    item: type[I]
    served_by: "type[Collection[Any]] | Collection[Any]"
    """An ability that connections have, or the plugin's own object."""
    parent: "ResourceType[Any, Any, Any] | None" = None
    """`HOSTS`, `VMS`, any other type, or None for what belongs to the server."""
    readable: bool = True
    """False for what adds verbs to the VMs of the core: a type named as `VMS` is, with `VMRef` as its item.

    `create` and `change` return which VM it is; reading it, its place and its events stay the core's.
    """
    key: str = "name"
    """The attribute of an item, a text, that tells it from all others of its parent."""
    singleton: bool = False
    """There is one for each parent, without a key."""
    create: type[N] | None = None
    plan: type[Struct] | None = None
    """What `?dry_run=true` answers instead of creating something."""
    change: type[C] | None = None
    """What `PATCH` takes: fields that are `UNSET` by default."""
    delete: bool = False
    content: bool = False
    upload: bool = True
    """Whether content can be written too."""
    query: type[Struct] | None = None
    """What can be asked for when reading, in the query, beside `filter`, `sort` …"""
    options: type[Struct] | None = None
    """How to change something, in the query."""
    rights: Rights = Rights()
    states: Mapping[str, frozenset[VMState]] = {}
    """For verbs: the power states of the VM in which they make sense."""
    timeout: float = 60.0
    """Seconds that one call may take; what reads or writes content, for each piece."""
    actions: tuple[ResourceAction[Any], ...] = ()
    volatile: tuple[str, ...] = ()
    """Attributes that change by themselves, as an allocation does: they do not count for `If-Match`."""
    columns: tuple[str, ...] = ()
    """What a table shows; every plain attribute unless said."""
    examples: tuple[I, ...] = ()


HOSTS: ResourceType[Host] = ResourceType(
    name="hosts", singular="host", title="Hosts", item=Host, key="id", served_by=Collection
)
"""The hosts, as the parent of what belongs to one."""

VMS: ResourceType[VM] = ResourceType(
    name="vms", singular="vm", title="VMs", item=VM, key="uuid", parent=HOSTS, served_by=Collection
)
"""The VMs of a host, as the parent of what belongs to one."""


def lineage_of(type_: ResourceType[Any, Any, Any]) -> tuple[ResourceType[Any, Any, Any], ...]:
    """Return a type with all its parents, outermost first. Raises `ValueError` for one that is its own ancestor."""
    found: list[ResourceType[Any, Any, Any]] = []
    at: ResourceType[Any, Any, Any] | None = type_
    while at is not None:
        if any(at is one for one in found):
            raise ValueError(f"the resource {at.name!r} is its own ancestor")
        found.append(at)
        at = at.parent
    return tuple(reversed(found))
