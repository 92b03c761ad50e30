"""`/ws` as a browser sees it: when to fetch again, and live counters."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from virtumancer.contracts import VMState
from virtumancer.testing import FakeHypervisor


@pytest.fixture
async def live(url: str, client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> AsyncIterator[ClientConnection]:
    """A socket on a host that is connected and has been looked at."""
    kvm1.define("web")
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    await client.get("/hosts/a/vms")
    await asyncio.sleep(0.3)
    async with connect(f"{url.replace('http', 'ws')}/ws") as socket:
        yield socket


async def heard(socket: ClientConnection, seconds: float) -> list[str]:
    messages: list[str] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                messages.append(str(await socket.recv()))
    except TimeoutError:
        return messages


async def test_nothing_is_said_while_nothing_changes(live: ClientConnection, client: httpx2.AsyncClient) -> None:
    for _ in range(3):
        await client.get("/hosts/a/vms")
    assert await heard(live, 0.5) == []


async def test_a_change_made_outside_is_announced_within_250_ms(live: ClientConnection, kvm1: FakeHypervisor) -> None:
    began = time.monotonic()
    kvm1.define("db")
    assert json.loads(await live.recv()) == {"type": "vms-changed", "payload": {"hostId": "a"}}
    assert await live.recv() == '{"type": "refresh"}'
    assert time.monotonic() - began < 0.25


async def test_the_rows_are_in_step_when_a_change_is_announced(
    live: ClientConnection, client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.define("db")
    while await live.recv() != '{"type": "refresh"}':
        pass
    assert [row["name"] for row in (await client.get("/hosts/a/vms/db")).json()] == ["web", "db"]


async def test_a_hundred_changes_at_once_are_few_messages(live: ClientConnection, kvm1: FakeHypervisor) -> None:
    for number in range(100):
        kvm1.define(f"vm{number}")
    refreshes = [message for message in await heard(live, 1.0) if "refresh" in message]
    assert 1 <= len(refreshes) <= 3


async def test_an_action_and_its_events_are_one_refresh(live: ClientConnection, client: httpx2.AsyncClient) -> None:
    assert (await client.post("/hosts/a/vms/web/start")).status_code == 204
    refreshes = [message for message in await heard(live, 0.8) if "refresh" in message]
    assert len(refreshes) == 1


async def test_a_lost_host_is_announced(live: ClientConnection, kvm1: FakeHypervisor) -> None:
    kvm1.drop("cable cut")
    assert '{"type":"hosts-changed"}' in await heard(live, 0.5)


async def test_what_a_look_found_is_announced_also_when_the_host_is_lost_at_that_moment(
    live: ClientConnection, client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.delay("list_vms", 0.3)  # longer than an announcement waits for the look behind it
    kvm1.define("db")
    assert json.loads(await live.recv())["type"] == "vms-changed"
    while "db" not in {row["name"] for row in (await client.get("/hosts/a/vms/db")).json()}:  # noqa: ASYNC110 - a row
        await asyncio.sleep(0.005)
    kvm1.drop("cable cut")
    assert any("vms-changed" in message for message in await heard(live, 1.0))


async def test_counters_come_to_those_who_subscribed_until_they_unsubscribe(
    live: ClientConnection, kvm1: FakeHypervisor
) -> None:
    vm = next(iter(kvm1.vms.values()))
    kvm1.vms[vm.uuid] = type(vm)(
        **{f: getattr(vm, f) for f in vm.__struct_fields__} | {"state": VMState.RUNNING, "cpu_time": 7}
    )
    payload = {"hostId": "a", "vmName": "web"}
    await live.send(json.dumps({"type": "subscribe-vm-stats", "payload": payload}))
    message = json.loads(await live.recv())
    assert message["type"] == "vm-stats-updated"
    assert (message["payload"]["hostId"], message["payload"]["vmName"]) == ("a", "web")
    assert message["payload"]["stats"]["cpu_time"] == 7
    await live.send(json.dumps({"type": "unsubscribe-vm-stats", "payload": payload}))
    await heard(live, 0.2)
    assert await heard(live, 0.3) == []


async def test_live_counters_follow_a_name_to_another_vm_before_the_next_look(
    live: ClientConnection, client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    web = next(iter(kvm1.vms))
    other = kvm1.define("other", VMState.RUNNING)
    await client.get("/hosts/a/vms")
    kvm1.faults.hang("list_vms")
    kvm1.change(web, name="was-web")
    kvm1.change(other.uuid, name="web", cpu_time=77)
    await live.send(json.dumps({"type": "subscribe-vm-stats", "payload": {"hostId": "a", "vmName": "web"}}))
    async with asyncio.timeout(5):
        while (message := json.loads(await live.recv()))["type"] != "vm-stats-updated":
            pass
    kvm1.faults.release("list_vms")
    assert message["payload"]["stats"]["cpu_time"] == 77


@pytest.mark.parametrize("message", ["{", '{"type":"what"}', '{"type":"subscribe-vm-stats","payload":3}', "[]"])
async def test_a_message_that_makes_no_sense_is_ignored(
    live: ClientConnection, kvm1: FakeHypervisor, message: str
) -> None:
    await live.send(message)
    kvm1.define("db")
    assert json.loads(await live.recv())["type"] == "vms-changed"


async def test_a_page_of_another_origin_gets_no_socket(url: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"{url.replace('http', 'ws')}/ws", origin="http://evil.example"):  # type: ignore[arg-type]
            pass
    assert refusal.value.response.status_code == 403


async def test_our_own_page_gets_a_socket_at_both_paths(url: str) -> None:
    for path in ("/ws", "/api/v1/ws"):
        async with connect(f"{url.replace('http', 'ws')}{path}", origin=url):  # type: ignore[arg-type]
            pass
