"""Our own actions keep the contract that plugins are tested against."""

import pytest

from virtumancer.contracts import VMAction
from virtumancer.testing.suites import VMActionSuite
from virtumancer_power import virtumancer_vm_actions

ACTIONS = {action.name: action for action in virtumancer_vm_actions()}


class TestPowerActions(VMActionSuite):
    longest_block = 1.0  # on a machine that is shared with other work

    @pytest.fixture(params=ACTIONS)
    def action(self, request: pytest.FixtureRequest) -> VMAction:
        return ACTIONS[request.param]
