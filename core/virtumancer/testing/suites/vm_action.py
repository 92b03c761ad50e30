"""The suite for VM actions: the descriptor says what it takes, and running it ends in time, whatever the host does."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from virtumancer.contracts import ActionContext, HostConnection, VMAction, VMRef, VMState
from virtumancer.testing.suites.acting import Acting, by_itself, require_needed

__all__ = ["VMActionSuite"]


@pytest.mark.asyncio(loop_scope="function")
class VMActionSuite(Acting):
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
    parameter has neither. An action that `needs` an ability which the hypervisor in memory does not have overrides
    `connection`, or puts who serves it into `hypervisor.abilities`.
    """

    @pytest.fixture
    def action(self) -> VMAction:
        """The action to test; override it."""
        pytest.fail("override the fixture `action` to return your VMAction", pytrace=False)

    @pytest.fixture
    def vm_name(self, action: VMAction) -> str:
        """The VM that it is run on: one in a state that it allows."""
        state = VMState.RUNNING if action.states is None or VMState.RUNNING in action.states else min(action.states)
        return state.name.lower()

    @pytest_asyncio.fixture(loop_scope="function")
    async def work(
        self, action: VMAction, decoded: Any, vm_name: str, context: ActionContext
    ) -> Callable[[], Awaitable[Any]]:
        """The action, ready to be run on that VM."""
        vm = await self.vm(action, vm_name, context.connection)
        return by_itself(context, lambda: action.run(context, vm, decoded))

    async def test_it_is_allowed_in_some_state(self, action: VMAction) -> None:
        assert action.states is None or action.states

    async def vm(self, action: VMAction, name: str, connection: HostConnection) -> VMRef:
        """Look the VM up; an action that this connection does not have is not tested on it."""
        require_needed(action, connection)
        return await connection.find_by_name(name)
