"""The stream of events of the real application, killed and resumed."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.http.cli.program import Program
from tests.http.client.faulty import FaultyRelay
from virtumancer.client import AsyncClient, Client, Retries, StreamEvent
from virtumancer.contracts import VMState
from virtumancer.testing import FakeHypervisor

QUICK = Retries(attempts=1000, patience=60, first_pause=0.001, longest_pause=0.01)
COUNT = 300


async def seen_until(client: AsyncClient, since: int, count: int) -> list[StreamEvent]:
    """Follow from an id on until so many events of VMs have come."""
    seen: list[StreamEvent] = []
    async with aclosing(client.events.follow(since=since, types=["vm.*"], retries=QUICK)) as stream:
        async for event in stream:
            seen.append(event)
            if len(seen) == count:
                break
    return seen


async def latest(client: AsyncClient) -> int:
    last = 0
    async with aclosing(client.events.kept()) as events:
        async for event in events:
            last = event.id
    return last


async def test_a_client_whose_connection_is_cut_again_and_again_sees_every_event_once(
    url: str, api: AsyncClient, kvm1: FakeHypervisor
) -> None:
    vm = kvm1.define("web01", VMState.RUNNING)
    await api.vms.list("kvm1")
    since = await latest(api)
    async with FaultyRelay(url) as relay, AsyncClient(relay.url, retries=QUICK) as client:
        following = asyncio.create_task(seen_until(client, since, COUNT))
        for number in range(COUNT):
            kvm1.change(vm.uuid, memory=1000 + number)
            if number % 10 == 0:
                relay.cut_all()
            await asyncio.sleep(0.002)
        async with asyncio.timeout(60):
            seen = await following
        assert relay.connections > 5
    ids = [event.id for event in seen]
    assert ids == sorted(set(ids))
    kept = await seen_until(api, since, COUNT)
    assert [event.id for event in kept] == ids


async def test_the_program_prints_what_is_kept_and_follows(
    url: str, api: AsyncClient, kvm1: FakeHypervisor, tmp_path: Path
) -> None:
    program = Program(tmp_path, {"VIRTUMANCER_URL": url})
    shown = await program.run("events")
    assert shown.code == 0, shown.err
    assert "host.added" in shown.out
    assert (await program.run("events", "--type", "vm.*")).out == ""
    since = str(await latest(api))
    process = await program.start("events", "--follow", "--since", since, "--json")
    kvm1.define("web01", VMState.RUNNING)
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    assert b'"web01"' in line
    process.send_signal(2)
    assert await process.wait() == 130


async def test_a_client_that_is_closed_while_it_follows_says_nothing(
    url: str, api: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    def work() -> None:
        with Client(url) as client:
            events = client.events.follow(since=0)
            assert next(events).type

    await asyncio.to_thread(work)

    assert [record for record in caplog.records if record.name == "asyncio" and record.levelname == "ERROR"] == []
