"""A small collector keeps the contract, and broken ones do not."""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from virtumancer.contracts import CollectContext, Host, HostConnection, Sample, StatsCollector
from virtumancer.errors import HostLost
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.suites import StatsCollectorSuite
from virtumancer.testing.suites.extending import Extending


class Counting(StatsCollector):
    name = "counting"

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        states = Counter(vm.state.name.lower() for vm in await context.connection.list_vms())
        return [Sample("vms", count, labels={"state": state}) for state, count in states.items()]


class TestCounting(StatsCollectorSuite):
    longest_block = 1.0  # on a machine that is shared with other work

    @pytest.fixture
    def collector(self) -> StatsCollector:
        return Counting()


class Leaving(Counting):
    """Leaves a task behind with every call."""

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        self.task = asyncio.create_task(asyncio.sleep(3600))
        return await super().collect(context)


class Blocking(Counting):
    """Stands in everybody's way."""

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        time.sleep(0.4)  # noqa: ASYNC251 - that is what is wrong with it
        return await super().collect(context)


class Stubborn(Counting):
    """Goes on when it is cancelled."""

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        try:
            return await super().collect(context)
        except asyncio.CancelledError:
            await asyncio.sleep(0.7)
            return []


class Careless(Counting):
    """Takes a host that is lost for one that is empty."""

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        try:
            return await super().collect(context)
        except HostLost:
            return []


class Odd(Counting):
    """Says something that is no number."""

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        return [Sample("Not A Name", float("nan")), Sample("Not A Name", float("nan"))]


class TestBrokenOnes(Extending):
    @pytest.mark.parametrize(
        ("collector", "sentence"),
        [
            (Leaving, "test_it_leaves_no_task_behind"),
            (Odd, "test_samples_have_names_that_can_be_stored"),
            (Odd, "test_values_are_finite_numbers"),
            (Odd, "test_no_two_samples_have_the_same_name_and_labels"),
            (Careless, "test_a_lost_host_is_an_error_of_ours"),
            (Blocking, "test_it_does_not_block_the_event_loop"),
            (Stubborn, "test_it_can_be_cancelled_while_the_host_hangs"),
        ],
    )
    async def test_a_broken_collector_fails_the_sentence_that_it_breaks(
        self,
        collector: type[StatsCollector],
        sentence: str,
        host: Host,
        connection: HostConnection,
        hypervisor: FakeHypervisor,
    ) -> None:
        made, suite = collector(), StatsCollectorSuite()
        suite.patience = 0.5
        needed = {"collector": made, "context": CollectContext(host, connection), "hypervisor": hypervisor}
        test = getattr(suite, sentence)

        with pytest.raises(AssertionError):
            await test(**{name: needed[name] for name in inspect.signature(test).parameters})

        await asyncio.sleep(0.3)  # for the one that ends only then
        if isinstance(made, Leaving):
            made.task.cancel()
