"""The suite for stats collectors: samples that can be stored and compared, also from a host that is empty or lost."""

import asyncio
import math
import re
from collections.abc import Sequence

import pytest

from virtumancer.contracts import CollectContext, Host, HostConnection, Sample, StatsCollector
from virtumancer.errors import VirtumancerError
from virtumancer.testing.fake import FakeHypervisor
from virtumancer.testing.suites.extending import Extending, cancelled, left_behind, silenced, standing_still

__all__ = ["StatsCollectorSuite"]

NAME = re.compile(r"[a-z_][a-z0-9_]*")


@pytest.mark.asyncio(loop_scope="function")
class StatsCollectorSuite(Extending):
    """Holds a stats collector against the contract, on a hypervisor in memory. Inherit from it, and say which one::

        import pytest
        from virtumancer.testing.suites import StatsCollectorSuite
        from virtumancer_mycollector import MyCollector

        class TestMyCollector(StatsCollectorSuite):
            @pytest.fixture
            def collector(self):
                return MyCollector()

    `collector` is needed. One that asks the host for more than the contract has overrides `connection`.
    """

    @pytest.fixture
    def collector(self) -> StatsCollector:
        """The collector to test; override it."""
        pytest.fail("override the fixture `collector` to return your StatsCollector", pytrace=False)

    @pytest.fixture
    def context(self, host: Host, connection: HostConnection) -> CollectContext:
        """What it is given."""
        return CollectContext(host, connection)

    async def test_it_has_a_name_and_pauses(self, collector: StatsCollector) -> None:
        assert collector.name
        assert collector.interval > 0

    async def test_samples_have_names_that_can_be_stored(
        self, collector: StatsCollector, context: CollectContext
    ) -> None:
        samples = await self.collected(collector, context)
        assert samples, "it found nothing to say about a host with VMs in every state"
        assert all(NAME.fullmatch(sample.name) for sample in samples)

    async def test_values_are_finite_numbers(self, collector: StatsCollector, context: CollectContext) -> None:
        samples = await self.collected(collector, context)
        assert all(not isinstance(sample.value, bool) and math.isfinite(sample.value) for sample in samples)

    async def test_labels_are_text(self, collector: StatsCollector, context: CollectContext) -> None:
        for sample in await self.collected(collector, context):
            assert isinstance(sample.unit, str)
            assert all(isinstance(part, str) for pair in sample.labels.items() for part in pair)

    async def test_no_two_samples_have_the_same_name_and_labels(
        self, collector: StatsCollector, context: CollectContext
    ) -> None:
        samples = await self.collected(collector, context)
        keys = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples]
        assert len(set(keys)) == len(keys)

    async def test_names_stay_the_same_while_nothing_changes(
        self, collector: StatsCollector, context: CollectContext
    ) -> None:
        first, second = await self.collected(collector, context), await self.collected(collector, context)
        assert {sample.name for sample in first} == {sample.name for sample in second}

    async def test_a_host_without_vms_is_no_trouble(
        self, collector: StatsCollector, context: CollectContext, hypervisor: FakeHypervisor
    ) -> None:
        hypervisor.vms.clear()
        samples = await self.collected(collector, context)
        assert all(math.isfinite(sample.value) for sample in samples)

    async def test_it_collects_within_its_interval(self, collector: StatsCollector, context: CollectContext) -> None:
        async with asyncio.timeout(min(collector.interval, self.patience)):
            await collector.collect(context)

    async def test_it_does_not_block_the_event_loop(self, collector: StatsCollector, context: CollectContext) -> None:
        longest = await standing_still(self.collected(collector, context))
        assert longest <= self.longest_block, "the event loop stood still: move what blocks into a thread"

    async def test_it_leaves_no_task_behind(self, collector: StatsCollector, context: CollectContext) -> None:
        before = asyncio.all_tasks()
        await self.collected(collector, context)
        assert not left_behind(before)

    async def test_a_lost_host_is_an_error_of_ours(
        self, collector: StatsCollector, context: CollectContext, hypervisor: FakeHypervisor
    ) -> None:
        hypervisor.drop("lost by the suite")
        try:
            await self.collected(collector, context)
        except VirtumancerError:
            return
        assert not hypervisor.faults.refused, "the host was lost, and it ended as if all were well"

    async def test_it_can_be_cancelled_while_the_host_hangs(
        self, collector: StatsCollector, context: CollectContext, hypervisor: FakeHypervisor
    ) -> None:
        silenced(hypervisor)
        await cancelled(collector.collect(context), self.patience)

    async def collected(self, collector: StatsCollector, context: CollectContext) -> Sequence[Sample]:
        """Collect once, within the patience of the suite."""
        async with asyncio.timeout(self.patience):
            samples = await collector.collect(context)
        assert isinstance(samples, list | tuple), f"collect returned {type(samples).__name__}"
        assert all(isinstance(sample, Sample) for sample in samples)
        return samples
