"""The suite for resources: what is made is there, what is gone is not, and nothing comes back that is not described."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import structs

from virtumancer.contracts import (
    VMS,
    ByteSpan,
    Collection,
    ContentCollection,
    NullJob,
    ResourceContext,
    ResourceType,
    VMRef,
    VMState,
    lineage_of,
)
from virtumancer.errors import InvalidValue, NotFound, ResourceExists, VirtumancerError
from virtumancer.testing.suites.extending import cancelled, standing_still
from virtumancer.testing.suites.watched_job import WatchedJob, never_falls

__all__ = ["ResourceSuite"]

STANDSTILL = 0.1
PATIENCE = 5.0
ODD_KEYS = ("a/b", "100%", "why?", "grün", "two words", "..")
UUID = "6f1c1f8e-0000-4000-8000-000000000001"


@pytest.mark.asyncio(loop_scope="function")
class ResourceSuite:
    """Holds a collection against the contract. Inherit from it, and say which one, with two specs that differ::

        import pytest
        from virtumancer.testing.suites import ResourceSuite
        from virtumancer_notes import NOTES, Note, Notes

        class TestNotes(ResourceSuite):
            @pytest.fixture
            def resource(self):
                return NOTES

            @pytest.fixture
            def collection(self):
                return Notes()

            @pytest.fixture
            def spec(self):
                return Note("one")

            @pytest.fixture
            def other_spec(self):
                return Note("two")

    `resource` and `collection` are needed, `spec` and `other_spec` where something can be made, `change` where it can
    be changed. `at` is a place on a host, with a running VM where the type belongs to one; override it for your own.
    """

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
    def at(self, resource: ResourceType[Any, Any, Any]) -> ResourceContext:
        """Where it is asked for."""
        vm = VMRef(UUID, "web01", VMState.RUNNING) if VMS in lineage_of(resource) else None
        query = resource.query() if resource.query is not None else None
        return ResourceContext(type=resource, host="conformance", vm=vm, query=query, actor="the suite")

    async def test_what_is_listed_is_what_the_type_says(self, resource: Any, collection: Any, at: Any) -> None:
        for item in [await collection.get(at, "")] if resource.singleton else await collection.list(at):
            assert _rebuilt(resource, item) == item

    async def test_listing_never_blocks_the_event_loop(self, resource: Any, collection: Any, at: Any) -> None:
        asked = collection.get(at, "") if resource.singleton else collection.list(at)
        assert await standing_still(asked) < STANDSTILL

    async def test_what_is_made_is_listed_and_got_as_it_was_answered(
        self, resource: Any, collection: Any, at: Any, spec: Any, other_spec: Any
    ) -> None:
        _needs(resource.create, spec, "spec")
        job = WatchedJob()
        made = [await collection.create(at, one, job) for one in (spec, other_spec) if one is not None]
        listed = await self.listed(resource, collection, at)
        for item in made:
            key = _key(resource, item)
            assert _rebuilt(resource, item) == item
            assert await collection.get(at, key) == item
            assert resource.singleton or listed[key] == item
        assert never_falls(job.reports), f"progress fell: {job.reports}"

    async def test_what_is_there_is_not_made_a_second_time(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        _needs(resource.create, spec, "spec")
        await collection.create(at, spec, NullJob())
        if not hasattr(spec, resource.key):
            pytest.skip("the server chooses the keys")
        with pytest.raises(ResourceExists):
            await collection.create(at, spec, NullJob())

    async def test_what_is_gone_is_not_found_by_any_verb(
        self, resource: Any, collection: Any, at: Any, spec: Any, change: Any
    ) -> None:
        _needs(resource.create if resource.delete else None, spec, "spec")
        key = _key(resource, await collection.create(at, spec, NullJob()))
        await collection.delete(at, key, NullJob())
        assert resource.singleton or key not in await self.listed(resource, collection, at)
        assert await _absent(collection, at, key)
        with pytest.raises(NotFound):
            await collection.delete(at, key, NullJob())
        if resource.change is not None and change is not None:
            with pytest.raises(NotFound):
                await collection.change(at, key, change, NullJob())

    async def test_a_key_may_hold_any_character_or_is_refused(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        _needs(resource.create, spec, "spec")
        if resource.singleton or not hasattr(spec, resource.key):
            pytest.skip("the client chooses no keys")
        for key in ODD_KEYS:
            try:
                made = await collection.create(at, structs.replace(spec, **{resource.key: key}), NullJob())
            except InvalidValue:
                continue
            assert _key(resource, made) == key
            assert await collection.get(at, key) == made

    async def test_a_change_is_seen(self, resource: Any, collection: Any, at: Any, spec: Any, change: Any) -> None:
        _needs(resource.change, change, "change")
        made = await collection.create(at, spec, NullJob()) if spec is not None else await collection.get(at, "")
        changed = await collection.change(at, _key(resource, made), change, NullJob())
        assert _key(resource, changed) == _key(resource, made), "a change does not change the key"
        assert await collection.get(at, _key(resource, changed)) == changed != made

    async def test_a_plan_changes_nothing(self, resource: Any, collection: Any, at: Any, spec: Any) -> None:
        _needs(resource.plan, spec, "spec")
        before = await self.listed(resource, collection, at)
        assert isinstance(await collection.plan(at, spec), resource.plan)
        assert await self.listed(resource, collection, at) == before

    async def test_making_can_be_cancelled_and_leaves_no_task(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        _needs(resource.create, spec, "spec")
        await cancelled(collection.create(at, spec, NullJob()), PATIENCE)
        await self.listed(resource, collection, at)

    async def test_content_comes_back_as_it_was_written(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        content = await self.content(resource, collection, at, spec)
        key, text = content, bytes(range(256)) * 600
        await collection.write(at, key, ByteSpan(0, len(text)), _pieces(text), NullJob())
        assert await collection.size(at, key) == len(text)
        for span in (
            ByteSpan(0, len(text)),
            ByteSpan(1000, 70_000),
            ByteSpan(len(text) - 1, len(text)),
            ByteSpan(5, 5),
        ):
            read = b"".join([bytes(piece) async for piece in collection.read(at, key, span)])
            assert read == text[span.start : span.stop], f"{span} is not what was written there"

    async def test_content_that_breaks_off_is_not_taken_for_whole(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        key = await self.content(resource, collection, at, spec)
        broken = _pieces(b"x" * 70_000, breaks=True)
        with pytest.raises(VirtumancerError):
            await collection.write(at, key, ByteSpan(0, 140_000), broken, NullJob())

    async def listed(self, resource: Any, collection: Any, at: Any) -> dict[str, Any]:
        """Return the items by key."""
        if resource.singleton:
            return {}
        items: Sequence[Any] = await collection.list(at)
        found = {_key(resource, item): item for item in items}
        assert len(found) == len(items), "two items have the same key"
        assert all(found), "an empty key could not be named in a path"
        return found

    async def content(self, resource: Any, collection: Any, at: Any, spec: Any) -> str:
        """Make an item that has content, and return its key."""
        _needs(resource.create if resource.content and resource.upload else None, spec, "spec")
        assert isinstance(collection, ContentCollection)
        return _key(resource, await collection.create(at, spec, NullJob()))


def _needs(offered: object, given: object, fixture: str) -> None:
    if offered is None:
        pytest.skip("its type does not offer that")
    if given is None:
        pytest.skip(f"override the fixture `{fixture}` to have this tested")


def _key(resource: ResourceType[Any, Any, Any], item: Any) -> str:
    key: str = "" if resource.singleton else getattr(item, resource.key)
    return key


def _rebuilt(resource: ResourceType[Any, Any, Any], item: Any) -> Any:
    assert isinstance(item, resource.item), f"{type(item).__name__} is no {resource.item.__name__}"
    return msgspec.json.decode(msgspec.json.encode(item), type=resource.item)


async def _absent(collection: Collection[Any], at: ResourceContext, key: str) -> bool:
    try:
        return await collection.get(at, key) is None
    except NotFound:
        return True


async def _pieces(text: bytes, *, breaks: bool = False) -> AsyncIterator[bytes]:
    for start in range(0, len(text), 65_536):
        yield text[start : start + 65_536]
    if breaks:
        raise InvalidValue("the client left", field="")
