"""Whoever asks for counters while a sample is being read shares the next one."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from virtumancer.contracts import VMState, VMStats
from virtumancer.errors import HostLost, HypervisorError
from virtumancer_libvirt.vms.sampler import Sampler


class Reader:
    """Reads samples that end when the test says so; `asked` are the VMs of each."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.failure: Exception | None = None
        self.go_on = asyncio.Event()
        self.at_once = 0

    async def read(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        self.asked.append(set(uuids))
        self.at_once += 1
        assert self.at_once == 1
        await self.go_on.wait()
        self.at_once -= 1
        if self.failure:
            raise self.failure
        number = len(self.asked)
        return {uuid: VMStats(VMState.RUNNING, number, 1, 1, 1) for uuid in uuids if uuid != "gone"}


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def sampler(reader: Reader) -> Sampler:
    return Sampler(reader.read)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_ask_at_once_share_one_sample_and_get_their_own_vms(reader: Reader, sampler: Sampler) -> None:
    reader.go_on.set()
    one, both = await asyncio.gather(sampler.sample(["a", "gone"]), sampler.sample(["a", "b"]))
    assert (set(one), set(both)) == ({"a"}, {"a", "b"})
    assert reader.asked == [{"a", "b", "gone"}]


async def test_those_who_ask_during_a_sample_share_the_next_one(reader: Reader, sampler: Sampler) -> None:
    first = asyncio.create_task(sampler.sample(["a"]))
    await settle()
    later = [asyncio.create_task(sampler.sample([uuid])) for uuid in "abc"]
    await settle()
    assert reader.asked == [{"a"}]
    reader.go_on.set()
    assert (await first)["a"].memory == 1
    assert [(await task)[uuid].memory for task, uuid in zip(later, "abc", strict=True)] == [2, 2, 2]
    assert reader.asked == [{"a"}, {"a", "b", "c"}]


async def test_one_that_leaves_takes_nothing_from_the_others(reader: Reader, sampler: Sampler) -> None:
    leaving, staying = (asyncio.create_task(sampler.sample(["a"])) for _ in range(2))
    await settle()
    leaving.cancel()
    await settle()
    reader.go_on.set()
    assert set(await staying) == {"a"}


async def test_a_failure_is_told_to_all_who_share_it_and_to_nobody_later(reader: Reader, sampler: Sampler) -> None:
    reader.failure = HypervisorError("no")
    reader.go_on.set()
    told = await asyncio.gather(sampler.sample(["a"]), sampler.sample(["b"]), return_exceptions=True)
    assert [type(one) for one in told] == [HypervisorError] * 2
    reader.failure = None
    assert set(await sampler.sample(["a"])) == {"a"}


async def test_the_end_is_told_to_all_who_wait(reader: Reader, sampler: Sampler) -> None:
    running = asyncio.create_task(sampler.sample(["a"]))
    await settle()
    waiting = asyncio.create_task(sampler.sample(["b"]))
    await settle()
    await sampler.aclose()
    told = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [type(one) for one in told] == [HostLost] * 2


async def test_no_vm_costs_no_call(reader: Reader, sampler: Sampler) -> None:
    assert await sampler.sample([]) == {}
    assert reader.asked == []
