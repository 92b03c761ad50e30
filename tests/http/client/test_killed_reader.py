"""Whoever reads the events is killed in the middle of ten thousand, and goes on behind the last one that it had."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.http.cli.program import Program
from virtumancer.client import AsyncClient
from virtumancer.contracts import VMState
from virtumancer.testing import FakeHypervisor

COUNT = 10_000


@pytest.mark.timeout(300)
async def test_a_reader_that_is_killed_and_resumed_gets_every_id_once_or_a_gap_that_says_so(
    url: str, api: AsyncClient, kvm1: FakeHypervisor, tmp_path: Path
) -> None:
    vm = kvm1.define("web01", VMState.RUNNING)
    await api.vms.list("kvm1")
    begin = last = await latest(api)
    program = Program(tmp_path, {"VIRTUMANCER_URL": url})
    happening = asyncio.create_task(happen(kvm1, vm.uuid))
    seen: list[tuple[int, str]] = []
    kills = 0
    while not (happening.done() and last >= await latest(api)):
        # What it printed and nobody read is lost with it, as its memory would be.
        async with program.piped("events", "--follow", "--since", str(last), "--json") as (process, out, _):
            for _ in range(2500):
                try:
                    line = await asyncio.wait_for(out.readline(), 5)
                except TimeoutError:
                    break
                event = json.loads(line)
                seen.append((event["id"], event["type"]))
                last = event["id"]
            process.kill()
            kills += 1
    await happening
    ids = [number for number, _ in seen]
    assert kills >= 3
    assert ids == sorted(set(ids))
    async with aclosing(api.events.kept(since=begin)) as events:
        kept = [event.id async for event in events]
    told = {kind for _, kind in seen}
    assert ids == kept or "gap" in told
    assert len(kept) > 1000


async def happen(kvm1: FakeHypervisor, uuid: str) -> None:
    for number in range(COUNT):
        kvm1.change(uuid, memory=1000 + number)
        if number % 20 == 0:
            await asyncio.sleep(0.01)


async def latest(client: AsyncClient) -> int:
    last = 0
    async with aclosing(client.events.kept()) as events:
        async for event in events:
            last = event.id
    return last
