"""A request that is sent again acts once, and is not sent again for ever."""

import asyncio
import time

import pytest

from tests.http.client.faulty import FaultyRelay
from tests.lab import free_port
from tests.waiting import until
from virtumancer.client import ApiError, AsyncClient, Retries, ServerUnreachable
from virtumancer.contracts import OperationState, VMState
from virtumancer.errors import HostUnavailable
from virtumancer.testing import FakeHypervisor

QUICK = Retries(first_pause=0.01, longest_pause=0.05)


async def test_an_answer_that_is_lost_is_had_again_and_the_act_is_done_once(
    url: str, api: AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web01")
    async with FaultyRelay(url) as relay, AsyncClient(relay.url, retries=QUICK) as client:
        relay.faults = ["lose-answer", "cut:40", "refuse"]
        # Done twice, the second start would be refused: it runs already.
        await client.vms.act("kvm1", "web01", "start")
        assert relay.connections == 4
    assert [vm.state for vm in kvm1.vms.values()] == [VMState.RUNNING]


async def test_an_operation_whose_answer_is_lost_is_begun_once(
    url: str, api: AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web01")
    async with FaultyRelay(url) as relay, AsyncClient(relay.url, retries=QUICK) as client:
        relay.faults = ["lose-answer"]
        begun = await client.vms.begin_on_many("start", names=["web01"])
        ended = await client.operations.wait(begun.id)
    assert ended.state is OperationState.SUCCEEDED
    assert [operation.id for operation in await api.operations.list()] == [begun.id]


async def test_a_request_whose_first_attempt_is_still_at_work_waits_for_its_answer(
    url: str, api: AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web01")
    kvm1.faults.hang("power")
    async with FaultyRelay(url) as relay, AsyncClient(relay.url, retries=QUICK) as client:
        asking = asyncio.create_task(client.vms.act("kvm1", "web01", "start"))
        await until(lambda: kvm1.faults.calls["power"] == 1)
        relay.cut_all()
        await until(lambda: relay.connections >= 2)
        assert not asking.done()
        kvm1.faults.release("power")
        await asking
    assert kvm1.faults.calls["power"] == 1


async def test_nobody_is_asked_for_ever(kvm1: FakeHypervisor) -> None:
    began = time.monotonic()
    async with AsyncClient(f"http://127.0.0.1:{free_port()}", retries=QUICK) as client:
        with pytest.raises(ServerUnreachable):
            await client.hosts.list()
    assert time.monotonic() - began < 2


async def test_a_host_that_is_away_for_longer_than_the_patience_is_an_error_at_once(
    url: str, api: AsyncClient, kvm1: FakeHypervisor
) -> None:
    await api.hosts.disconnect("kvm1")
    async with AsyncClient(url, retries=Retries(patience=0.5)) as client:
        with pytest.raises(HostUnavailable) as raised:
            await client.vms.list("kvm1")
    assert isinstance(raised.value, ApiError)
    assert raised.value.status == 503
    assert raised.value.retry_after


async def test_a_host_that_is_back_in_time_is_no_error(url: str, api: AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01")
    await api.hosts.disconnect("kvm1")
    async with AsyncClient(url, retries=Retries(patience=20)) as client:
        asking = asyncio.create_task(client.vms.act("kvm1", "web01", "start"))
        await asyncio.sleep(0.2)
        assert not asking.done()
        await api.hosts.connect("kvm1")
        await asking
    assert [vm.state for vm in kvm1.vms.values()] == [VMState.RUNNING]
