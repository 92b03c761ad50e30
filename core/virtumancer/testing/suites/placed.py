"""What the suites for resources stand on: a collection at a place, and what only its author can do to the host."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec import structs

from virtumancer.contracts import (
    HOSTS,
    VMS,
    ByteSpan,
    Collection,
    ContentCollection,
    EventStream,
    Job,
    ResourceContext,
    ResourceType,
    VMRef,
    VMState,
    lineage_of,
)
from virtumancer.errors import InvalidValue, NotFound
from virtumancer.testing.suites.connecting import OnHost

__all__ = ["Fill", "Placed", "absent", "key_of", "needs", "of_host", "pieces", "rebuilt", "verbs_of"]

Fill = Callable[[int], Awaitable[None]]
"""Makes so many items, past the collection."""
Verb = Callable[[], Coroutine[Any, Any, object]]
UUID = "6f1c1f8e-0000-4000-8000-000000000001"


class Placed:
    """The fixtures of a suite that holds a collection."""

    patience: float = 5.0
    """Seconds that a verb may take that does not wait on purpose, and until what others did has to be seen."""
    longest_block: float = 0.25
    """Seconds that the event loop may stand still; raise it where the machine of the tests is slow."""

    @pytest.fixture
    def resource(self) -> ResourceType[Any, Any, Any]:
        """The descriptor; override it."""
        pytest.fail("override the fixture `resource` to return your ResourceType", pytrace=False)

    @pytest.fixture
    def collection(self) -> Collection[Any]:
        """Who serves it, empty or not; override it."""
        pytest.fail("override the fixture `collection` to return your Collection", pytrace=False)

    @pytest.fixture
    def spec(self) -> Any:
        """What makes an item; override it where one can be made."""
        return None

    @pytest.fixture
    def other_spec(self) -> Any:
        """What makes another item."""
        return None

    @pytest.fixture
    def change(self) -> Any:
        """What changes the item that `spec` makes; override it where one can be changed."""
        return None

    @pytest.fixture
    def params(self) -> Mapping[str, Any]:
        """The parameters of actions, by name; those that need none are called without."""
        return {}

    @pytest.fixture
    def at(self, resource: ResourceType[Any, Any, Any]) -> ResourceContext:
        """Where it is asked for."""
        vm = VMRef(UUID, "web01", VMState.RUNNING) if VMS in lineage_of(resource) else None
        query = resource.query() if resource.query is not None else None
        return ResourceContext(type=resource, host="conformance", vm=vm, query=query, actor="the suite")

    @pytest.fixture
    def break_host(self) -> OnHost | None:
        """`async ()`: cut the connection to the host, as a network does."""
        return None

    @pytest.fixture
    def hang_host(self) -> OnHost | None:
        """`async ()`: let the host answer nothing. A fixture that yields ends that after the test."""
        return None

    @pytest.fixture
    def fill(self) -> Fill | None:
        """`async (count)`: make so many items at `at`, past the collection."""
        return None

    @pytest.fixture
    def count_calls(self) -> Callable[[], int] | None:
        """`()`: how often the collection has called the host until now."""
        return None

    @pytest.fixture
    def make_outside(self) -> Callable[[str], Awaitable[None]] | None:
        """`async (key)`: make an item at `at` as somebody else would, with the hypervisor's own tool."""
        return None

    @pytest.fixture
    def open_events(self) -> Callable[[], Awaitable[EventStream]] | None:
        """`async ()`: open the events of the host, as `SupportsEvents.open_events` does."""
        return None

    async def listed(self, resource: Any, collection: Any, at: Any) -> dict[str, Any]:
        """Return the items by key."""
        if resource.singleton:
            return {}
        items: Sequence[Any] = await collection.list(at)
        found = {key_of(resource, item): item for item in items}
        assert len(found) == len(items), "two items have the same key"
        assert all(found), "an empty key could not be named in a path"
        return found

    async def some_key(self, resource: Any, collection: Any, at: Any, spec: Any, job: Job) -> str:
        """Return the key of an item, which is made where none is there."""
        if resource.singleton:
            return ""
        if resource.create is not None and spec is not None:
            return key_of(resource, await collection.create(at, spec, job))
        found = next(iter(await self.listed(resource, collection, at)), "")
        if not found:
            needs(resource.create, spec, "spec")
        return found


def verbs_of(
    resource: ResourceType[Any, Any, Any],
    collection: Collection[Any],
    at: ResourceContext,
    key: str,
    job: Job,
    given: Mapping[str, Any],
) -> dict[str, Verb]:
    """Return what the type offers, each ready to be called for this key; `given` has `spec`, `other_spec` and so on."""
    asked: dict[str, Verb] = {"get": lambda: collection.get(at, key)}
    if not resource.singleton:
        asked["list"] = lambda: _listing(collection, at)
    spec = given.get("other_spec") or given.get("spec")
    if resource.create is not None and spec is not None:
        asked["create"] = lambda: collection.create(at, spec, job)
    if resource.change is not None and given.get("change") is not None:
        asked["change"] = lambda: collection.change(at, key, given["change"], job)
    for action in resource.actions:
        method = getattr(collection, action.name.replace("-", "_"))
        values = given.get("params", {}).get(action.name)
        if not structs.fields(action.params):
            asked[action.name] = partial(method, at, key, job)
        elif values is not None or not any(field.required for field in structs.fields(action.params)):
            value = action.params() if values is None else values
            asked[action.name] = partial(method, at, key, value, job)
    if resource.content and isinstance(collection, ContentCollection):
        asked["download"] = lambda: _read(collection, at, key)
        if resource.upload:
            asked["upload"] = lambda: collection.write(at, key, ByteSpan(0, 3), pieces(b"new"), job)
    if resource.delete:  # at last: the others need the item
        asked["delete"] = lambda: collection.delete(at, key, job)
    return asked


def needs(offered: object, given: object, fixture: str) -> None:
    """Skip a test of what the type does not offer, or what the author gave nothing for."""
    if not offered:
        pytest.skip("its type does not offer that")
    if given is None:
        pytest.skip(f"override the fixture `{fixture}` of the suite to test this")


def of_host(resource: ResourceType[Any, Any, Any]) -> None:
    """Skip a test of what no host takes part in."""
    if HOSTS not in lineage_of(resource):
        pytest.skip("it belongs to no host")


def key_of(resource: ResourceType[Any, Any, Any], item: Any) -> str:
    """Return the key of an item, empty for the one of a singleton."""
    key: str = "" if resource.singleton else getattr(item, resource.key)
    return key


def rebuilt(resource: ResourceType[Any, Any, Any], item: Any) -> Any:
    """Return an item as it arrives at a client; fails for what cannot be sent, as NaN and half a character."""
    assert isinstance(item, resource.item), f"{type(item).__name__} is no {resource.item.__name__}"
    try:
        return msgspec.json.decode(msgspec.json.encode(item), type=resource.item)
    except (UnicodeEncodeError, msgspec.MsgspecError, TypeError) as error:
        pytest.fail(f"{item!r} cannot be sent as its type says: {error}")


async def absent(collection: Collection[Any], at: ResourceContext, key: str) -> bool:
    """Say whether an item is not there, in one of the two ways to say so."""
    try:
        return await collection.get(at, key) is None
    except (NotFound, InvalidValue):
        return True


async def pieces(text: bytes, *, breaks: bool = False) -> AsyncIterator[bytes]:
    """Yield a text in pieces, as a client sends it; one that leaves ends with an error."""
    for start in range(0, len(text), 65_536):
        yield text[start : start + 65_536]
        await asyncio.sleep(0)
    if breaks:
        raise InvalidValue("the client left", field="")


async def _listing(collection: Collection[Any], at: ResourceContext) -> Sequence[Any]:
    return await collection.list(at)


async def _read(collection: ContentCollection[Any], at: ResourceContext, key: str) -> bytes:
    size = await collection.size(at, key)
    return b"".join([bytes(piece) async for piece in collection.read(at, key, ByteSpan(0, size))])
