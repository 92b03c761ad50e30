"""What actions and collectors that break their contract do to a client, and what health says of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.http.naughty import (
    Naughty,
    add,
    counts,
    naughty_plugins,
    not_async,
    quitting,
    raising,
    returning,
)
from tests.waiting import until
from virtumancer.contracts import (
    Sample,
    StatsCollector,
    VMAction,
    VMRef,
)
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.fake import FakeConnection


@pytest.fixture
def naughty(tmp_path: Path, kvm1: FakeHypervisor) -> Naughty:
    return naughty_plugins(tmp_path, kvm1)


async def test_a_driver_that_fails_inside_an_action_of_another_plugin_is_the_one_that_is_named(
    naughty: Naughty, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web")
    async with naughty({"power": quitting}) as client:
        await add(client)
        for _ in range(6):
            answer = await client.post("/hosts/a/vms/web/start")
            assert answer.json()["code"] == "plugin-failed"
            assert answer.json()["detail"] == (
                "changing the power state on host 'a' failed inside plugin 'naughty': SystemExit: 3"
            )
        assert (await client.get("/plugins/power")).json()["state"] == "active"
        assert (await counts(client))["power"]["failures"] == 6


@pytest.mark.parametrize("run", [quitting, raising(asyncio.CancelledError()), not_async(None)])
async def test_an_action_that_would_end_the_program_is_an_answer(
    naughty: Naughty, kvm1: FakeHypervisor, run: Any
) -> None:
    kvm1.define("web")
    action = VMAction(name="wave", title="Wave", description="Waves.", run=run)
    async with naughty(hooks={"virtumancer_vm_actions": [action]}) as client:
        await add(client)
        answer = await client.post("/hosts/a/vms/web/wave")
        assert answer.json()["code"] == "plugin-failed"
        assert "wave of VM 'web' on host 'a' failed inside plugin 'naughty'" in answer.json()["detail"]


async def test_an_action_gets_a_connection_that_is_what_its_driver_made(naughty: Naughty, kvm1: FakeHypervisor) -> None:
    kvm1.define("web")
    seen: list[tuple[bool, str, str]] = []

    async def run(context: Any, _vm: VMRef, _params: object) -> None:
        connection = context.connection
        connection.note = "kept"
        seen.append((isinstance(connection, FakeConnection), await connection.own_method(), connection.note))

    action = VMAction(name="wave", title="Wave", description="Waves.", run=run)
    async with naughty({"own_method": returning("own")}, hooks={"virtumancer_vm_actions": [action]}) as client:
        await add(client)
        assert (await client.post("/hosts/a/vms/web/wave")).status_code == 204
    assert seen == [(True, "own", "kept")]
    assert not kvm1.connections


@pytest.mark.parametrize(
    ("collect", "said"),
    [
        (returning(None), "collect() returned None, a list of Sample is needed"),
        (returning([1.5]), "collect() returned an object of list, a list of Sample is needed"),
        (
            returning([Sample("vms", 1.0), Sample("load", float("nan"))]),
            "collect() returned what is wrong: item 1 ('load'), field value: Expected `float`, got `null`",
        ),
        (
            returning([Sample("vms", 1.0)] * 10_001),
            "collect() returned what is wrong: 10001 samples at once, 10000 are the most",
        ),
        (not_async([Sample("vms", 1.0)]), "it returned an object of list at once, an async method is needed"),
        (quitting, "SystemExit: 3"),
    ],
)
async def test_a_collector_that_breaks_its_contract_is_named_where_its_samples_would_be(
    naughty: Naughty, collect: Any, said: str
) -> None:
    collector = type("Naughty", (StatsCollector,), {"name": "naughty", "interval": 0.05, "collect": collect})
    async with naughty(hooks={"virtumancer_stats_collectors": [collector]}) as client:
        await add(client)

        async def samples() -> Any:
            return (await client.get("/hosts/a/samples")).json()

        (entry,) = await until(samples)
        assert entry["error"] == f"collecting naughty on host 'a' failed inside plugin 'naughty': {said}"
        assert (await client.get("/hosts/a")).json()["state"] == "connected"


async def test_health_names_the_plugins_that_fail(naughty: Naughty) -> None:
    async with naughty(hooks={"virtumancer_vm_actions": ["wave"]}) as client:
        health = (await client.get("/health")).json()
        assert health["ok"] is True
        assert [(plugin["name"], plugin["state"], plugin["phase"]) for plugin in health["failing"]] == [
            ("naughty", "failed", "collect")
        ]
        assert "VMAction objects are needed" in health["failing"][0]["reason"]
