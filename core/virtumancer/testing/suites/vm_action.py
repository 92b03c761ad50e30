"""The suite for VM actions: the descriptor says what it takes, and running it ends in time, whatever the host does."""

import asyncio
import re
from typing import Any

import msgspec
import pytest

from virtumancer.contracts import ActionContext, Host, HostConnection, VMAction, VMRef, VMState
from virtumancer.errors import VirtumancerError
from virtumancer.testing.fake import FakeHypervisor
from virtumancer.testing.suites.extending import Extending, cancelled, left_behind, silenced, standing_still

__all__ = ["VMActionSuite"]

SEGMENT = re.compile(r"[a-z][a-z0-9-]{0,62}")


@pytest.mark.asyncio(loop_scope="function")
class VMActionSuite(Extending):
    """Holds a VM action against the contract, on a hypervisor in memory. Inherit from it, and say which action::

        import pytest
        from virtumancer.testing.suites import VMActionSuite
        from virtumancer_myaction import virtumancer_vm_actions

        class TestMyAction(VMActionSuite):
            @pytest.fixture
            def action(self):
                [action] = virtumancer_vm_actions()
                return action

            @pytest.fixture
            def params(self):
                return {"seconds": 0}

    `action` is needed. `params` is the body of a request that is quick to obey; without it the first of the `examples`
    in each parameter's `msgspec.Meta` is taken, or its default, and tests that run the action are skipped when a
    parameter has neither. An action that `needs` a connection of its own
    kind overrides `connection`.
    """

    @pytest.fixture
    def action(self) -> VMAction:
        """The action to test; override it."""
        pytest.fail("override the fixture `action` to return your VMAction", pytrace=False)

    @pytest.fixture
    def params(self) -> dict[str, Any] | None:
        """A body of a request; None for the defaults."""
        return None

    @pytest.fixture
    def decoded(self, action: VMAction, params: dict[str, Any] | None) -> Any:
        """The parameters as the action gets them."""
        body = _examples(action) if params is None else params
        if not body.keys() >= set(_required(action)):
            pytest.skip("override the fixture `params` of the suite to test this")
        return msgspec.convert(body, action.params)

    @pytest.fixture
    def vm_name(self, action: VMAction) -> str:
        """The VM that it is run on: one in a state that it allows."""
        state = VMState.RUNNING if action.states is None or VMState.RUNNING in action.states else min(action.states)
        return state.name.lower()

    async def test_the_name_can_be_a_segment_of_a_route(self, action: VMAction) -> None:
        assert SEGMENT.fullmatch(action.name)

    async def test_title_and_description_are_there_for_people(self, action: VMAction) -> None:
        assert action.title.strip()
        assert action.description.strip().endswith("."), "the description is a sentence"

    async def test_the_parameters_have_a_json_schema(self, action: VMAction) -> None:
        assert msgspec.json.schema(action.params)

    async def test_a_parameter_that_does_not_exist_is_refused(self, action: VMAction) -> None:
        with pytest.raises(msgspec.ValidationError, match="no-such-parameter"):
            msgspec.convert({"no-such-parameter": 1}, action.params)

    async def test_a_parameter_that_is_missing_is_named(self, action: VMAction) -> None:
        for name in _required(action):
            with pytest.raises(msgspec.ValidationError, match=name):
                msgspec.convert({}, action.params)

    async def test_it_is_allowed_in_some_state(self, action: VMAction) -> None:
        assert action.states is None or action.states

    async def test_it_ends_within_its_timeout(
        self, action: VMAction, decoded: Any, vm_name: str, host: Host, connection: HostConnection
    ) -> None:
        vm = await self.vm(action, vm_name, connection)
        async with asyncio.timeout(min(action.timeout, self.patience)):
            await action.run(ActionContext(host, connection), vm, decoded)

    async def test_it_answers_what_it_declares(
        self, action: VMAction, decoded: Any, vm_name: str, host: Host, connection: HostConnection
    ) -> None:
        if action.answer is None:
            return
        vm = await self.vm(action, vm_name, connection)
        async with asyncio.timeout(self.patience):
            answer = await action.run(ActionContext(host, connection), vm, decoded)
        assert isinstance(answer, action.answer)
        assert msgspec.json.decode(msgspec.json.encode(answer), type=action.answer) == answer

    async def test_it_leaves_no_task_behind(
        self, action: VMAction, decoded: Any, vm_name: str, host: Host, connection: HostConnection
    ) -> None:
        vm = await self.vm(action, vm_name, connection)
        before = asyncio.all_tasks()
        async with asyncio.timeout(self.patience):
            await action.run(ActionContext(host, connection), vm, decoded)
        assert not left_behind(before)

    async def test_it_does_not_block_the_event_loop(
        self, action: VMAction, decoded: Any, vm_name: str, host: Host, connection: HostConnection
    ) -> None:
        vm = await self.vm(action, vm_name, connection)
        async with asyncio.timeout(self.patience):
            longest = await standing_still(_run(action, ActionContext(host, connection), vm, decoded))
        assert longest <= self.longest_block, "the event loop stood still: move what blocks into a thread"

    async def test_it_can_be_cancelled_while_the_host_hangs(
        self,
        action: VMAction,
        decoded: Any,
        vm_name: str,
        host: Host,
        connection: HostConnection,
        hypervisor: FakeHypervisor,
    ) -> None:
        vm = await self.vm(action, vm_name, connection)
        silenced(hypervisor)
        await cancelled(_run(action, ActionContext(host, connection), vm, decoded), self.patience)

    async def test_a_lost_host_is_an_error_of_ours(
        self,
        action: VMAction,
        decoded: Any,
        vm_name: str,
        host: Host,
        connection: HostConnection,
        hypervisor: FakeHypervisor,
    ) -> None:
        vm = await self.vm(action, vm_name, connection)
        hypervisor.drop("lost by the suite")
        async with asyncio.timeout(self.patience):
            try:
                await action.run(ActionContext(host, connection), vm, decoded)
            except VirtumancerError:
                return
        assert not hypervisor.faults.refused, "the host was lost, and it ended as if it had been done"

    async def vm(self, action: VMAction, name: str, connection: HostConnection) -> VMRef:
        """Look the VM up; an action that this connection does not have is not tested on it."""
        if action.needs is not None and not isinstance(connection, action.needs):
            pytest.skip(f"override the fixture `connection` with one that is a {action.needs.__name__} to test this")
        return await connection.find_by_name(name)


async def _run(action: VMAction, context: ActionContext, vm: VMRef, params: Any) -> None:
    await action.run(context, vm, params)


def _examples(action: VMAction) -> dict[str, Any]:
    """Return the first example of every parameter that has one."""
    [schema], components = msgspec.json.schema_components((action.params,))
    properties = components[schema["$ref"].rpartition("/")[2]].get("properties", {})
    return {name: value["examples"][0] for name, value in properties.items() if value.get("examples")}


def _required(action: VMAction) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(action.params) if field.required]
