"""The suite for resources: what is made is there, what is gone is not, and nothing comes back that is not described."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from virtumancer.contracts import HOSTS, VMS, NullJob, ResourceType, ResourceVerb
from virtumancer.errors import InvalidValue, NotFound, ResourceExists, VirtumancerError
from virtumancer.testing.suites.extending import cancelled, left_behind, standing_still
from virtumancer.testing.suites.placed import absent, key_of, needs, rebuilt, verbs_of
from virtumancer.testing.suites.resource_content import ResourceContent
from virtumancer.testing.suites.resource_losing import ResourceLosing
from virtumancer.testing.suites.watched_job import WatchedJob, never_falls

__all__ = ["ResourceSuite"]

ODD_KEYS = ("a/b", "100%", "why?", "grün", "two words", "..")
# Whoever may not even look is told that there is nothing.
REFUSED = frozenset({403, 404})
MOST_STEPS = 20


@pytest.mark.asyncio(loop_scope="function")
class ResourceSuite(ResourceLosing, ResourceContent):
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
    be changed, `params` for actions that need some. `at` is a place on a host, with a running VM where the type belongs
    to one; override it for your own.

    What only the author can do is optional: `break_host` cuts the connection, `hang_host` lets the host answer nothing,
    `fill` makes many items and `count_calls` counts what listing them takes, `make_outside` makes one past the
    collection, of which `open_events` tells where the host has events. At the end of a run stands what was not tested
    without them. Set `patience` and `longest_block` in the class where the host or the machine of the tests is slow.
    """

    async def test_what_is_listed_is_what_the_type_says(self, resource: Any, collection: Any, at: Any) -> None:
        for item in [await collection.get(at, "")] if resource.singleton else await collection.list(at):
            assert rebuilt(resource, item) == item

    async def test_listing_never_blocks_the_event_loop(self, resource: Any, collection: Any, at: Any) -> None:
        asked = collection.get(at, "") if resource.singleton else collection.list(at)
        assert await standing_still(asked) < self.longest_block

    async def test_what_is_made_is_listed_and_got_as_it_was_answered(
        self, resource: Any, collection: Any, at: Any, spec: Any, other_spec: Any
    ) -> None:
        needs(resource.create, spec, "spec")
        made = [await collection.create(at, one, NullJob()) for one in (spec, other_spec) if one is not None]
        listed = await self.listed(resource, collection, at)
        for item in made:
            key = key_of(resource, item)
            assert steady(resource, await collection.get(at, key)) == steady(resource, item)
            assert resource.singleton or steady(resource, listed[key]) == steady(resource, item)

    async def test_what_is_made_can_be_sent_as_its_type_says(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        needs(resource.create, spec, "spec")
        made = await collection.create(at, spec, NullJob())
        assert rebuilt(resource, made) == made
        for item in (await self.listed(resource, collection, at)).values():
            assert rebuilt(resource, item) == item

    async def test_progress_never_falls(
        self,
        resource: Any,
        collection: Any,
        at: Any,
        spec: Any,
        other_spec: Any,
        change: Any,
        params: Mapping[str, Any],
    ) -> None:
        key = await self.some_key(resource, collection, at, spec, NullJob())
        job = WatchedJob()
        asked = {"spec": spec, "other_spec": other_spec, "change": change, "params": params}
        for verb, call in verbs_of(resource, collection, at, key, job, asked).items():
            with suppress(VirtumancerError):  # what it may refuse is for other tests
                await call()
            assert never_falls(job.reports), f"the progress of {verb} fell: {job.reports}"
            assert all(done <= total for done, total, _ in job.reports if total), f"{verb}: more than all was done"
            job.reports.clear()

    async def test_what_is_there_is_not_made_a_second_time(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        needs(resource.create, spec, "spec")
        await collection.create(at, spec, NullJob())
        if not hasattr(spec, resource.key):
            pytest.skip("the server chooses the keys")
        with pytest.raises(ResourceExists):
            await collection.create(at, spec, NullJob())

    async def test_what_is_gone_is_not_found_by_any_verb(
        self, resource: Any, collection: Any, at: Any, spec: Any, change: Any
    ) -> None:
        needs(resource.create if resource.delete else None, spec, "spec")
        key = key_of(resource, await collection.create(at, spec, NullJob()))
        await collection.delete(at, key, NullJob())
        assert resource.singleton or key not in await self.listed(resource, collection, at)
        assert await absent(collection, at, key)
        with pytest.raises(NotFound):
            await collection.delete(at, key, NullJob())
        if resource.change is not None and change is not None:
            with pytest.raises(NotFound):
                await collection.change(at, key, change, NullJob())

    async def test_a_key_may_hold_any_character_or_is_refused(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        needs(resource.create, spec, "spec")
        if resource.singleton or not hasattr(spec, resource.key):
            pytest.skip("the client chooses no keys")
        for key in ODD_KEYS:
            try:
                made = await collection.create(at, structs.replace(spec, **{resource.key: key}), NullJob())
            except InvalidValue:
                continue
            assert key_of(resource, made) == key
            assert steady(resource, await collection.get(at, key)) == steady(resource, made)

    async def test_a_key_stands_for_itself_alone(self, resource: Any, collection: Any, at: Any, spec: Any) -> None:
        needs(not resource.singleton, True, "")
        key = await self.some_key(resource, collection, at, spec, NullJob())
        escaped = "".join(f"%{byte:02X}" for byte in key.encode())
        for other in (escaped, f"{key}/", f"./{key}", f" {key}", f"{key}?", "..", ""):
            assert await absent(collection, at, other), f"{other!r} finds an item, whose key is {key!r}"
            if resource.delete:
                with pytest.raises((NotFound, InvalidValue)):
                    await collection.delete(at, other, NullJob())
        assert key in await self.listed(resource, collection, at)

    async def test_a_change_is_seen(self, resource: Any, collection: Any, at: Any, spec: Any, change: Any) -> None:
        needs(resource.change, change, "change")
        made = await collection.create(at, spec, NullJob()) if spec is not None else await collection.get(at, "")
        changed = await collection.change(at, key_of(resource, made), change, NullJob())
        assert key_of(resource, changed) == key_of(resource, made), "a change does not change the key"
        got = await collection.get(at, key_of(resource, changed))
        assert steady(resource, got) == steady(resource, changed) != steady(resource, made)

    async def test_a_plan_changes_nothing(self, resource: Any, collection: Any, at: Any, spec: Any) -> None:
        needs(resource.plan, spec, "spec")
        before = await self.listed(resource, collection, at)
        assert isinstance(await collection.plan(at, spec), resource.plan)
        assert await self.listed(resource, collection, at) == before

    async def test_making_can_be_cancelled_and_leaves_no_task(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        needs(resource.create, spec, "spec")
        await cancelled(collection.create(at, spec, NullJob()), self.patience)
        await self.listed(resource, collection, at)

    async def test_making_can_be_cancelled_at_each_step(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        needs(resource.create, spec, "spec")
        for number in range(MOST_STEPS):
            before = asyncio.all_tasks()
            job = StoppingJob(number)
            making = asyncio.ensure_future(collection.create(at, spec, job))
            stopping = asyncio.ensure_future(job.stopped.wait())
            await asyncio.wait({making, stopping}, return_when=asyncio.FIRST_COMPLETED, timeout=self.patience)
            stopping.cancel()
            making.cancel()
            await asyncio.wait({making, stopping}, timeout=self.patience)
            assert making.done(), f"it goes on although it was cancelled at step {number + 1}"
            await asyncio.gather(making, stopping, return_exceptions=True)
            assert not left_behind(before)
            await self.listed(resource, collection, at)
            if not job.stopped.is_set():
                return
            with suppress(NotFound):  # what is left can be removed, so that it can be made
                if resource.delete:
                    await collection.delete(at, getattr(spec, resource.key, ""), NullJob())

    async def test_each_verb_needs_its_right(self, resource: Any, tmp_path: Path) -> None:
        if not getattr(resource, "readable", True):
            pytest.skip("its verbs are those of the core's VMs")
        from virtumancer.testing.serving import gate_before  # noqa: PLC0415 - other sentences need no server

        for verb, right in rights_of(resource).items():
            assert right != resource.rights.of(ResourceVerb.GET), f"whoever may look may {verb}, by the right {right!r}"
        async with gate_before(tmp_path, renamed(resource)) as gate:
            for asked in await gate.asked():
                others = frozenset({*gate.rights, "audit"}) - {asked.right}
                status = await gate.status(asked, others)
                assert status in REFUSED, f"{asked.verb} without {asked.right!r} is answered with {status}"
                status = await gate.status(asked, frozenset({"read", asked.right}))
                assert status not in {401, 403}, f"{asked.verb} with {asked.right!r} is answered with {status}"


class StoppingJob(NullJob):
    """Waits at one of its steps, the first of which is number 0, until it is ended."""

    def __init__(self, number: int) -> None:
        super().__init__("the suite")
        self.stopped = asyncio.Event()
        self._left = number

    async def step(self, text: str) -> None:
        """Say what comes next, or never return."""
        if self._left == 0:
            self.stopped.set()
            await asyncio.Event().wait()
        self._left -= 1


def rights_of(resource: ResourceType[Any, Any, Any]) -> dict[str, str]:
    """Return the right of each verb that changes something for sure."""
    offered = {
        ResourceVerb.CREATE: resource.create is not None,
        ResourceVerb.CHANGE: resource.change is not None,
        ResourceVerb.DELETE: resource.delete,
        ResourceVerb.UPLOAD: resource.content and resource.upload,
    }
    changing = [str(verb) for verb, there in offered.items() if there]
    changing += [action.name for action in resource.actions if action.destructive]
    return {verb: resource.rights.of(verb) for verb in changing}


def renamed(resource: ResourceType[Any, Any, Any]) -> ResourceType[Any, Any, Any]:
    """Return it, with its parents, under names that no plugin has that is installed."""
    parent = resource.parent
    above = parent if parent is None or parent in {HOSTS, VMS} else renamed(parent)
    names = {"name": f"suite-{resource.name}", "singular": f"s-{resource.singular}"[:24].rstrip("-")}
    return structs.replace(resource, **names, parent=above)


def steady(resource: ResourceType[Any, Any, Any], item: Any) -> Any:
    """Return an item without what changes by itself."""
    if item is None or not resource.volatile:
        return item
    return {name: value for name, value in structs.asdict(item).items() if name not in resource.volatile}
