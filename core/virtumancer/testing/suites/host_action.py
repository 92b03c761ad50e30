"""The suite for actions on hosts: as for those on VMs, and what it reports to its job is what people can be shown."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from virtumancer.contracts import ActionContext, Host, HostAction, HostConnection
from virtumancer.testing.suites.acting import Acting, Unserved, by_itself, require_needed
from virtumancer.testing.suites.watched_job import WatchedJob, never_falls

__all__ = ["HostActionSuite"]

LONGEST_STEP = 500


@pytest.mark.asyncio(loop_scope="function")
class HostActionSuite(Acting):
    """Holds an action on hosts against the contract, on a hypervisor in memory. Inherit from it, and say which action::

        import pytest
        from virtumancer.testing.suites import HostActionSuite
        from virtumancer_myaction import virtumancer_host_actions

        class TestMyAction(HostActionSuite):
            @pytest.fixture
            def action(self):
                [action] = virtumancer_host_actions()
                return action

    `action` is needed. `params` is the body of a request that is quick to obey; without it the first of the `examples`
    in each parameter's `msgspec.Meta` is taken, or its default, and tests that run the action are skipped when a
    parameter has neither. An action that `needs` an ability which the hypervisor in memory does not have overrides
    `connection`, or puts who serves it into `hypervisor.abilities`. The hypervisor has a VM in each power state.
    """

    @pytest.fixture
    def action(self) -> HostAction:
        """The action to test; override it."""
        pytest.fail("override the fixture `action` to return your HostAction", pytrace=False)

    @pytest.fixture
    def job(self) -> WatchedJob:
        """What the action reports to."""
        return WatchedJob()

    @pytest.fixture
    def context(self, host: Host, connection: HostConnection, job: WatchedJob) -> ActionContext:
        """What the action is handed."""
        return ActionContext(host, connection, job, collections=Unserved())

    @pytest.fixture
    def work(self, action: HostAction, decoded: Any, context: ActionContext) -> Callable[[], Awaitable[Any]]:
        """The action, ready to be run."""
        require_needed(action, context.connection)
        return by_itself(context, lambda: action.run(context, decoded))

    async def test_what_declares_no_answer_returns_none(
        self, action: HostAction, work: Callable[[], Awaitable[Any]]
    ) -> None:
        async with asyncio.timeout(self.patience):
            answer = await work()
        assert action.answer is not None or answer is None, "it returns what nobody gets: declare it as `answer`"

    async def test_its_steps_are_words_for_people(self, work: Callable[[], Awaitable[Any]], job: WatchedJob) -> None:
        async with asyncio.timeout(self.patience):
            await work()
        assert all(0 < len(step.strip()) <= LONGEST_STEP for step in job.steps)

    async def test_progress_never_falls_and_stays_within_its_total(
        self, work: Callable[[], Awaitable[Any]], job: WatchedJob
    ) -> None:
        async with asyncio.timeout(self.patience):
            await work()
        assert never_falls(job.reports), f"progress fell: {job.reports}"
        assert all(0 <= done <= total for done, total, _ in job.reports if total), f"more than all: {job.reports}"
