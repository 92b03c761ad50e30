"""What a host driver that breaks its contract does to a client: one answer that names it, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.http.naughty import (
    Naughty,
    add,
    counts,
    hanging,
    naughty_plugins,
    not_async,
    quitting,
    raising,
    returning,
)
from tests.waiting import until
from virtumancer.contracts import (
    EventStream,
    HostConnection,
    HostDriver,
    VMRef,
    VMState,
)
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.fake import FakeConnection


@pytest.fixture
def naughty(tmp_path: Path, kvm1: FakeHypervisor) -> Naughty:
    return naughty_plugins(tmp_path, kvm1)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("info", "/hosts/a/info"),
        ("list_vms", "/hosts/a/vms"),
        ("find_by_name", "/hosts/a/vms/web/actions"),
        ("hardware", "/hosts/a/vms/web/hardware"),
        ("sample", "/hosts/a/vms/web/stats"),
        ("consoles", "/hosts/a/vms/web/consoles"),
        ("screenshot", "/hosts/a/vms/web/screenshot"),
    ],
)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (raising(KeyError("disk")), "KeyError: 'disk'"),
        (raising(SystemExit(3)), "SystemExit: 3"),
        (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (raising(GeneratorExit()), "GeneratorExit"),
        (raising(asyncio.CancelledError()), "CancelledError"),
        (raising(TimeoutError("of its own")), "TimeoutError: of its own"),
        (returning(None), "{method}() returned None, "),
        (returning([7]), "{method}() returned an object of list, "),
        (not_async([]), "it returned an object of list at once, an async method is needed"),
    ],
)
async def test_a_method_that_breaks_its_contract_is_one_answer_that_names_it(
    naughty: Naughty, kvm1: FakeHypervisor, method: str, path: str, fault: Any, said: str
) -> None:
    kvm1.define("web", VMState.RUNNING)
    async with naughty({method: fault}) as client:
        assert (await add(client)).status_code == 201
        answer = await client.get(path)
        assert answer.json()["code"] == "plugin-failed", answer.text
        detail = answer.json()["detail"]
        assert detail.count("inside plugin 'naughty'") == 1
        assert said.format(method=method) in detail
        count = (await counts(client))[method]
        assert count["failures"] == count["calls"] >= 1
        assert (await client.get("/hosts/a")).json()["state"] in ("connected", "degraded")


async def test_a_vm_without_a_name_is_refused_before_it_is_stored(naughty: Naughty, kvm1: FakeHypervisor) -> None:
    kvm1.define("web")
    kvm1.change(next(iter(kvm1.vms)), name=None)
    async with naughty() as client:
        await add(client)
        answer = await client.get("/hosts/a/vms")
        detail = answer.json()["detail"]
        assert "inside plugin 'naughty': list_vms() returned what is wrong: item 0 (" in detail
        assert "field name: Expected `str`, got `null`" in detail


def spoiled(**fields: Any) -> Any:
    """The listing of the host with something wrong in its last VM."""

    async def list_vms(connection: Any) -> Any:
        vms = list(await FakeConnection.list_vms(connection))
        return [*vms[:-1], structs.replace(vms[-1], **fields)]

    return list_vms


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "web\ud800"}, "item 1 ('web\\ud800' "),
        ({"name": "web\ud800"}, "field name: UnicodeEncodeError"),
        ({"uuid": ""}, "item 1 ('db'), field uuid: it is empty"),
        (
            {"uuid": "11111111-1111-1111-1111-111111111111"},
            "field uuid: 'web' has '11111111-1111-1111-1111-111111111111' too",
        ),
        ({"max_mem": "much"}, "field max_mem: Expected `int`, got `str`"),
    ],
)
async def test_a_vm_that_is_wrong_is_named_with_its_field(
    naughty: Naughty, kvm1: FakeHypervisor, fields: dict[str, Any], said: str
) -> None:
    first = kvm1.define("web")
    kvm1.define("db")
    kvm1.change(first.uuid, uuid="11111111-1111-1111-1111-111111111111")
    async with naughty({"list_vms": spoiled(**fields)}) as client:
        await add(client)
        answer = await client.get("/hosts/a/vms")
        assert answer.json()["code"] == "plugin-failed", answer.text
        assert "inside plugin 'naughty': list_vms() returned what is wrong: " in answer.json()["detail"]
        assert said in answer.json()["detail"]


@pytest.mark.parametrize(("method", "asked"), [("find_by_uuid", "uuid"), ("find_by_name", "name")])
async def test_a_look_up_that_finds_another_vm_is_refused(
    naughty: Naughty, kvm1: FakeHypervisor, method: str, asked: str
) -> None:
    meant, other = kvm1.define("web", VMState.RUNNING), kvm1.define("db", VMState.RUNNING)

    async def find(_connection: HostConnection, _said: str) -> VMRef:
        return VMRef(other.uuid, other.name, other.state)

    async with naughty({method: find}) as client:
        await add(client)
        answer = await client.post(f"/hosts/a/vms/{getattr(meant, asked)}/forceoff")
        assert answer.json()["code"] == "plugin-failed", answer.text
        assert f"of the {asked} asked for, is needed" in answer.json()["detail"]
        assert {vm.state for vm in kvm1.vms.values()} == {VMState.RUNNING}


async def test_a_method_that_hangs_ends_at_its_deadline(naughty: Naughty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtumancer.services.hosts.connector.GRACE", 0.1)
    async with naughty({"info": hanging}) as client:
        await add(client)
        answer = await client.get("/hosts/a/info")
        assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
        assert "within 0.6 s (plugin 'naughty')" in answer.json()["detail"]
        assert (await counts(client))["info"]["failures"] == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (returning(None), "connect() returned None, a HostConnection is needed"),
        (returning("connected"), "connect() returned an object of str, a HostConnection is needed"),
        (not_async(None), "it returned None at once, an async method is needed"),
        (quitting, "SystemExit: 3"),
        (raising(OSError("no route")), "OSError: no route"),
    ],
)
async def test_a_driver_that_cannot_connect_properly_is_named_and_nothing_is_stored(
    naughty: Naughty, fault: Any, said: str
) -> None:
    async with naughty(driver={"connect": fault}) as client:
        answer = await add(client)
        assert answer.json()["code"] == "plugin-failed"
        assert answer.json()["detail"] == f"connecting to host 'a' failed inside plugin 'naughty': {said}"
        assert (await client.get("/hosts")).json() == []
        assert (await counts(client))["connect"]["failures"] == 1


async def test_a_check_of_uris_that_raises_is_named(naughty: Naughty) -> None:
    def check_uri(_driver: HostDriver, uri: str) -> None:
        raise IndexError(uri)

    async with naughty(driver={"check_uri": check_uri}) as client:
        answer = await add(client)
        assert answer.json()["detail"] == (
            "checking the URI of host 'a' failed inside plugin 'naughty': IndexError: naughty://kvm1"
        )
        assert (await counts(client))["check_uri"]["failures"] == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (returning("it is gone"), "it is gone"),
        (returning(None), "wait_lost() returned None, a text is needed"),
        (raising(KeyError("socket")), "KeyError: 'socket'"),
        (quitting, "SystemExit: 3"),
        (not_async("gone"), "an async method is needed"),
    ],
)
async def test_a_connection_that_is_always_lost_at_once_is_made_less_and_less_often(
    naughty: Naughty, fault: Any, said: str
) -> None:
    async with naughty({"wait_lost": fault}) as client:
        await add(client)
        await asyncio.sleep(1)
        host = (await client.get("/hosts/a")).json()
        assert 2 <= (await counts(client))["connect"]["calls"] <= 12
        assert host["state"] in ("lost", "connected")

        async def reason() -> bool:
            return said in (await client.get("/hosts/a")).json()["reason"]

        await until(reason)


class Events(EventStream):
    """A stream that yields what a test likes."""

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[Any]:
        for event in self.events:
            if isinstance(event, BaseException):
                raise event
            yield event

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("started", "__anext__() returned an object of str, a VMEvent, ResourceEvent or EventsMissed is needed"),
        (KeyError("domain"), "KeyError: 'domain'"),
        (SystemExit(1), "SystemExit: 1"),
    ],
)
async def test_an_event_stream_that_breaks_degrades_its_host_and_is_opened_again(
    naughty: Naughty, event: object, said: str
) -> None:
    opened: list[Events] = []

    async def open_events(_connection: HostConnection) -> EventStream:
        opened.append(Events(event))
        return opened[-1]

    async with naughty({"open_events": open_events}) as client:
        await add(client)

        async def degraded() -> Any:
            host = (await client.get("/hosts/a")).json()
            return host if host["state"] == "degraded" else None

        host = await until(degraded)
        assert "changes made outside are seen late, because the event stream broke: " in host["reason"]
        assert said in host["reason"]

        async def again() -> bool:
            return len(opened) > 1

        await until(again)
        assert opened[0].closed
        assert (await client.get("/hosts/a/vms")).status_code == 200
        assert (await counts(client))["events"]["failures"] >= 1


async def test_events_that_are_no_stream_degrade_the_host(naughty: Naughty) -> None:
    async with naughty({"open_events": returning([])}) as client:
        await add(client)
        host = (await client.get("/hosts/a")).json()
        assert host["state"] == "degraded"
        assert "open_events() returned an object of list, an EventStream is needed" in host["reason"]


async def test_a_connection_that_does_not_close_holds_nobody_up(
    naughty: Naughty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtumancer.plugins.calls.connection.CLOSE_TIMEOUT", 0.1)
    async with naughty({"aclose": hanging}) as client, asyncio.timeout(5):
        await add(client)
        assert (await client.delete("/hosts/a")).status_code == 204
        assert (await counts(client))["aclose"]["failures"] == 1
