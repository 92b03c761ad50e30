"""The sentences that hold for every action, on a VM or on a host."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from virtumancer.contracts import (
    ActionContext,
    Host,
    HostAction,
    HostConnection,
    NoCollections,
    ResourceType,
    VMAction,
    ability_name,
)
from virtumancer.errors import AbilityMissing, VirtumancerError
from virtumancer.testing.fake import FakeHypervisor
from virtumancer.testing.suites.extending import Extending, cancelled, left_behind, silenced, standing_still

__all__ = ["Acting", "Unserved", "by_itself", "require_needed"]

SEGMENT = re.compile(r"[a-z][a-z0-9-]{0,62}")

Work = Callable[[], Awaitable[Any]]


class Unserved(NoCollections):
    """Remembers what an action that runs by itself wanted of other plugins."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()

    def collection(self, type_: ResourceType[Any, Any, Any], *keys: str, **place: Any) -> Any:
        """Raise `AbilityMissing`."""
        self.wanted.add(type_.name)
        return super().collection(type_, *keys, **place)


def by_itself(context: ActionContext, run: Work) -> Work:
    """Skip the test of an action that ends because another plugin would have to serve something."""

    async def work() -> Any:
        try:
            return await run()
        except AbilityMissing as error:
            wanted = error.extra.get("ability")
            if isinstance(context.collections, Unserved) and wanted in context.collections.wanted:
                reason = f"it uses {wanted}, which another plugin serves: override the fixture `context` of the suite"
                pytest.skip(f"{reason} to test this")
            raise

    return work


class Acting(Extending):
    """What a suite for actions holds; its fixture `work` is the action, ready to be run."""

    @pytest.fixture
    def action(self) -> VMAction | HostAction:
        """The action to test; override it."""
        pytest.fail("override the fixture `action` to return your action", pytrace=False)

    @pytest.fixture
    def params(self) -> dict[str, Any] | None:
        """A body of a request; None for the defaults."""
        return None

    @pytest.fixture
    def decoded(self, action: VMAction | HostAction, params: dict[str, Any] | None) -> Any:
        """The parameters as the action gets them."""
        body = _examples(action) if params is None else params
        if not body.keys() >= set(_required(action)):
            pytest.skip("override the fixture `params` of the suite to test this")
        return msgspec.convert(body, action.params)

    @pytest.fixture
    def context(self, host: Host, connection: HostConnection) -> ActionContext:
        """What the action is handed."""
        return ActionContext(host, connection, collections=Unserved())

    async def test_the_name_can_be_a_segment_of_a_route(self, action: VMAction | HostAction) -> None:
        assert SEGMENT.fullmatch(action.name)

    async def test_title_and_description_are_there_for_people(self, action: VMAction | HostAction) -> None:
        assert action.title.strip()
        assert action.description.strip().endswith("."), "the description is a sentence"

    async def test_the_parameters_have_a_json_schema(self, action: VMAction | HostAction) -> None:
        assert msgspec.json.schema(action.params)

    async def test_a_parameter_that_does_not_exist_is_refused(self, action: VMAction | HostAction) -> None:
        with pytest.raises(msgspec.ValidationError, match="no-such-parameter"):
            msgspec.convert({"no-such-parameter": 1}, action.params)

    async def test_a_parameter_that_is_missing_is_named(self, action: VMAction | HostAction) -> None:
        for name in _required(action):
            with pytest.raises(msgspec.ValidationError, match=name):
                msgspec.convert({}, action.params)

    async def test_it_ends_within_its_timeout(self, action: VMAction | HostAction, work: Work) -> None:
        async with asyncio.timeout(min(action.timeout, self.patience)):
            await work()

    async def test_it_answers_what_it_declares(self, action: VMAction | HostAction, work: Work) -> None:
        if action.answer is None:
            return
        async with asyncio.timeout(self.patience):
            answer = await work()
        assert isinstance(answer, action.answer)
        assert msgspec.json.decode(msgspec.json.encode(answer), type=action.answer) == answer

    async def test_it_leaves_no_task_behind(self, work: Work) -> None:
        before = asyncio.all_tasks()
        async with asyncio.timeout(self.patience):
            await work()
        assert not left_behind(before)

    async def test_it_does_not_block_the_event_loop(self, work: Work) -> None:
        async with asyncio.timeout(self.patience):
            longest = await standing_still(_run(work))
        assert longest <= self.longest_block, "the event loop stood still: move what blocks into a thread"

    async def test_it_can_be_cancelled_while_the_host_hangs(self, work: Work, hypervisor: FakeHypervisor) -> None:
        silenced(hypervisor)
        await cancelled(_run(work), self.patience)

    async def test_a_lost_host_is_an_error_of_ours(self, work: Work, hypervisor: FakeHypervisor) -> None:
        hypervisor.drop("lost by the suite")
        async with asyncio.timeout(self.patience):
            try:
                await work()
            except VirtumancerError:
                return
        assert not hypervisor.faults.refused, "the host was lost, and it ended as if it had been done"


def require_needed(action: VMAction | HostAction, connection: HostConnection) -> None:
    """Skip what cannot be run on this connection."""
    if action.needs is not None and connection.ability(action.needs) is None:
        needed = ability_name(action.needs)
        pytest.skip(f"override the fixture `connection` with one that has the ability {needed} to test this")


async def _run(work: Work) -> None:
    await work()


def _examples(action: VMAction | HostAction) -> dict[str, Any]:
    """Return the first example of every parameter that has one."""
    [schema], components = msgspec.json.schema_components((action.params,))
    properties = components[schema["$ref"].rpartition("/")[2]].get("properties", {})
    return {name: value["examples"][0] for name, value in properties.items() if value.get("examples")}


def _required(action: VMAction | HostAction) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(action.params) if field.required]
