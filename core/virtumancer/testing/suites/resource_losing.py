"""The part of the suite for resources that is about hosts: lost, silent, full, and changed by others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from virtumancer.contracts import EventStream, NullJob, ResourceChange, ResourceEvent
from virtumancer.errors import CallTimeout, HostUnavailable, VirtumancerError
from virtumancer.testing.suites.connecting import OnHost, given
from virtumancer.testing.suites.extending import WAITING, left_behind
from virtumancer.testing.suites.placed import Fill, Placed, key_of, needs, of_host, verbs_of

__all__ = ["ResourceLosing"]

LOST = (HostUnavailable, CallTimeout)
MANY = 1000


class ResourceLosing(Placed):
    """Breaks the host of a collection, lets it hang, and fills it."""

    async def test_a_lost_host_is_told_by_every_verb(
        self,
        resource: Any,
        collection: Any,
        at: Any,
        spec: Any,
        other_spec: Any,
        change: Any,
        params: Mapping[str, Any],
        break_host: OnHost | None,
    ) -> None:
        of_host(resource)
        cut = given(break_host, "break_host")
        key = await self.some_key(resource, collection, at, spec, NullJob())
        asked = {"spec": spec, "other_spec": other_spec, "change": change, "params": params}
        verbs = verbs_of(resource, collection, at, key, NullJob(), asked)
        await cut()
        await self.lost(verbs["get"])
        for verb, call in verbs.items():
            async with asyncio.timeout(self.patience):
                try:
                    await call()
                except LOST:
                    continue
                except VirtumancerError as error:
                    pytest.fail(f"the host is lost, and {verb} says something else: {error!r}")
            pytest.fail(f"the host is lost, and {verb} says nothing of it")

    async def test_a_verb_that_waits_for_a_host_that_is_lost_ends(
        self,
        resource: Any,
        collection: Any,
        at: Any,
        spec: Any,
        other_spec: Any,
        change: Any,
        params: Mapping[str, Any],
        break_host: OnHost | None,
        hang_host: OnHost | None,
    ) -> None:
        of_host(resource)
        cut, hang = given(break_host, "break_host"), given(hang_host, "hang_host")
        key = await self.some_key(resource, collection, at, spec, NullJob())
        asked = {"spec": spec, "other_spec": other_spec, "change": change, "params": params}
        verbs = verbs_of(resource, collection, at, key, NullJob(), asked)
        await hang()
        running = {verb: asyncio.ensure_future(call()) for verb, call in verbs.items()}
        await asyncio.wait(running.values(), timeout=WAITING)
        await cut()
        await asyncio.wait(running.values(), timeout=self.patience)
        waiting = [verb for verb, task in running.items() if not task.done()]
        for task in running.values():
            task.cancel()
        ended = dict(zip(running, await asyncio.gather(*running.values(), return_exceptions=True), strict=True))
        assert not waiting, f"the host is lost, and these wait on: {', '.join(waiting)}"
        said = {verb: outcome for verb, outcome in ended.items() if not isinstance(outcome, LOST)}
        assert not said, "the host was lost meanwhile, and these say something else"

    async def test_every_verb_can_be_ended_while_the_host_hangs(
        self,
        resource: Any,
        collection: Any,
        at: Any,
        spec: Any,
        other_spec: Any,
        change: Any,
        params: Mapping[str, Any],
        hang_host: OnHost | None,
    ) -> None:
        of_host(resource)
        hang = given(hang_host, "hang_host")
        key = await self.some_key(resource, collection, at, spec, NullJob())
        asked = {"spec": spec, "other_spec": other_spec, "change": change, "params": params}
        verbs = verbs_of(resource, collection, at, key, NullJob(), asked)
        await hang()
        for verb, call in verbs.items():
            before = asyncio.all_tasks()
            running = asyncio.ensure_future(call())
            await asyncio.wait({running}, timeout=WAITING)
            if running.done() and running.exception() is None and verb not in {"list", "get", "download"}:
                pytest.fail(f"{verb} says that it is done, and the host hangs")
            running.cancel()
            await asyncio.wait({running}, timeout=self.patience)
            assert running.done(), f"{verb} goes on although it was ended"
            await asyncio.gather(running, return_exceptions=True)
            assert not left_behind(before), f"{verb} leaves tasks"

    async def test_many_items_take_no_more_calls_than_few(
        self, resource: Any, collection: Any, at: Any, fill: Fill | None, count_calls: Callable[[], int] | None
    ) -> None:
        of_host(resource)
        needs(not resource.singleton, True, "")
        make, count = given(fill, "fill"), given(count_calls, "count_calls")
        await make(2)
        few = await self.calls(resource, collection, at, count)
        await make(MANY)
        many = await self.calls(resource, collection, at, count)
        assert len(await self.listed(resource, collection, at)) >= MANY
        assert many <= few, f"listing {MANY} items takes {many} calls, listing a few of them {few}"

    async def test_what_others_make_is_listed_and_got(
        self,
        resource: Any,
        collection: Any,
        at: Any,
        make_outside: Callable[[str], Awaitable[None]] | None,
    ) -> None:
        of_host(resource)
        needs(not resource.singleton, True, "")
        make = given(make_outside, "make_outside")
        await self.listed(resource, collection, at)
        await make("outside")
        async with asyncio.timeout(self.patience):
            while "outside" not in await self.listed(resource, collection, at):  # noqa: ASYNC110 - others tell nothing
                await asyncio.sleep(0.05)
        assert key_of(resource, await collection.get(at, "outside")) == "outside"

    async def test_what_others_make_is_told(
        self,
        resource: Any,
        at: Any,
        make_outside: Callable[[str], Awaitable[None]] | None,
        open_events: Callable[[], Awaitable[EventStream]] | None,
    ) -> None:
        of_host(resource)
        needs(not resource.singleton, True, "")
        make, opened = given(make_outside, "make_outside"), given(open_events, "open_events")
        stream = await opened()
        await make("outside")
        expected = (at.vm.uuid if at.vm else "", (*at.keys, "outside"))
        try:
            async with asyncio.timeout(self.patience):
                async for event in stream:
                    if isinstance(event, ResourceEvent) and event.resource == resource.name:
                        if event.change is ResourceChange.REFRESH:
                            return
                        assert (event.vm, event.keys, event.change) == (*expected, ResourceChange.CREATED)
                        return
        except TimeoutError:
            pass
        finally:
            await stream.aclose()
        pytest.fail("an item that others have made is told by no event")

    async def calls(self, resource: Any, collection: Any, at: Any, count: Callable[[], int]) -> int:
        """Return how many calls of the host one listing takes."""
        before = count()
        await self.listed(resource, collection, at)
        return count() - before

    async def lost(self, look: Callable[[], Any]) -> None:
        """Wait until the collection has noticed the loss: one over HTTP may go on with another connection before."""
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    try:
                        await look()
                    except LOST:
                        return
                    except VirtumancerError:
                        pass
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"the host is lost, and after {self.patience:g} s nothing says so")
