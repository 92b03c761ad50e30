"""`/hosts/{id}/vms` as a client sees it."""

import asyncio
import json
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    Disk,
    DiskDriver,
    DiskTarget,
    HardwareInfo,
    SupportsScreenshot,
    VMAction,
    VMChange,
    VMState,
    ability_name,
)
from virtumancer.errors import CallTimeout, HypervisorError
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin


@pytest.fixture(autouse=True)
async def host(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web")
    assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201
    # The session's first look is over then: a listing that joins it would show the time before a test's change.
    await client.get("/hosts/a/vms")


async def names(client: httpx2.AsyncClient, path: str) -> list[str]:
    return [row["name"] for row in (await client.get(path)).json()]


async def test_the_stored_document_is_the_listed_one(client: httpx2.AsyncClient) -> None:
    listed = (await client.get("/hosts/a/vms")).json()[0]
    row = (await client.get("/hosts/a/vms/db")).json()[0]
    assert json.loads(row["config_json"]) == listed
    assert row["ID"] == listed["db_id"] > 0
    assert (row["host_id"], row["DeletedAt"]) == ("a", None)


async def test_a_listing_and_the_rows_agree_after_every_outside_change(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    db = kvm1.define("db")
    assert await names(client, "/hosts/a/vms") == await names(client, "/hosts/a/vms/db") == ["web", "db"]
    kvm1.change(db.uuid, name="database")
    assert await names(client, "/hosts/a/vms") == await names(client, "/hosts/a/vms/db") == ["web", "database"]
    kvm1.undefine(db.uuid)
    assert await names(client, "/hosts/a/vms") == await names(client, "/hosts/a/vms/db") == ["web"]


async def test_a_renamed_vm_keeps_its_row(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    before = (await client.get("/hosts/a/vms")).json()[0]
    kvm1.change(before["uuid"], name="www")
    after = (await client.get("/hosts/a/vms")).json()[0]
    assert (after["name"], after["db_id"]) == ("www", before["db_id"])


async def test_a_vm_undefined_and_defined_again_is_visible(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    for vm_uuid in tuple(kvm1.vms):
        kvm1.undefine(vm_uuid)
    await client.get("/hosts/a/vms")
    kvm1.define("web")
    assert await names(client, "/hosts/a/vms") == await names(client, "/hosts/a/vms/db") == ["web"]


async def test_a_host_removed_and_added_again_shows_its_vms(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    assert (await client.delete("/hosts/a")).status_code == 204
    assert (await client.get("/hosts")).json() == []
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    assert await names(client, "/hosts/a/vms") == await names(client, "/hosts/a/vms/db") == ["web"]


async def test_the_same_name_on_two_hosts_stays_apart(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, kvm2: FakeHypervisor
) -> None:
    kvm2.define("web")
    await client.post("/hosts", json={"id": "b", "uri": kvm2.uri})
    assert (await client.post("/hosts/b/vms/web/start")).status_code == 204
    assert [vm.state for vm in kvm1.vms.values()] == [VMState.SHUTOFF]
    assert [vm.state for vm in kvm2.vms.values()] == [VMState.RUNNING]


@pytest.mark.parametrize("name", ["a b", "50%", "a/b", "ü+&?#", "db", "%2F", "a%2Fb"])
async def test_a_name_may_hold_any_character(client: httpx2.AsyncClient, kvm1: FakeHypervisor, name: str) -> None:
    vm = kvm1.define(name, VMState.RUNNING)
    path = f"/hosts/a/vms/{quote(name, safe='')}"
    assert (await client.get(f"{path}/stats")).json()["state"] == 1
    assert (await client.post(f"{path}/forceoff")).status_code == 204
    assert kvm1.vms[vm.uuid].state is VMState.SHUTOFF


async def test_a_vm_is_found_by_uuid_too(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    (vm_uuid,) = kvm1.vms
    assert (await client.get(f"/hosts/a/vms/{vm_uuid}/stats")).status_code == 200


async def test_twenty_clients_at_once_cost_one_fetch(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    await client.get("/hosts/a/vms")
    kvm1.faults.delay("list_vms", 0.1)
    before = kvm1.faults.calls["list_vms"]
    answers = await asyncio.gather(*(client.get("/hosts/a/vms") for _ in range(20)))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert kvm1.faults.calls["list_vms"] - before == 1


async def test_a_listing_asked_for_after_an_action_shows_its_effect(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.faults.delay("list_vms", 0.1)
    slow = asyncio.create_task(client.get("/hosts/a/vms"))
    await asyncio.sleep(0.02)
    await client.post("/hosts/a/vms/web/start")
    assert (await client.get("/hosts/a/vms")).json()[0]["state"] == 1
    await slow


async def test_the_stored_rows_need_no_hypervisor(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    await client.get("/hosts/a/vms")
    await client.post("/hosts/a/disconnect")
    before = kvm1.faults.calls.total()
    assert await names(client, "/hosts/a/vms/db") == ["web"]
    assert kvm1.faults.calls.total() == before


@pytest.mark.parametrize("error", [HypervisorError("half-way"), CallTimeout("too slow"), RuntimeError("a bug")])
async def test_a_listing_that_failed_deletes_nothing(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, error: Exception
) -> None:
    await client.get("/hosts/a/vms")
    kvm1.faults.fail("list_vms", error)
    answer = await client.get("/hosts/a/vms")
    assert answer.status_code in {502, 504}
    assert await names(client, "/hosts/a/vms/db") == ["web"]


async def test_hardware_has_the_documented_shape(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    (vm_uuid,) = kvm1.vms
    path = "/var/lib/libvirt/images/web01.qcow2"
    kvm1.hardware[vm_uuid] = HardwareInfo(
        disks=(
            Disk(
                "file", "disk", DiskDriver("qemu", "qcow2", "qcow2"), {"file": path}, path, DiskTarget("vda", "virtio")
            ),
        )
    )
    assert (await client.get("/hosts/a/vms/web/hardware")).json() == {
        "disks": [
            {
                "type": "file",
                "device": "disk",
                "driver": {"driver_name": "qemu", "driver_type": "qcow2", "type": "qcow2"},
                "source": {"file": path},
                "path": path,
                "target": {"dev": "vda", "bus": "virtio"},
            }
        ],
        "networks": [],
    }


@pytest.mark.parametrize(
    ("action", "state", "status"),
    [
        ("start", VMState.SHUTOFF, 204),
        ("start", VMState.RUNNING, 409),
        ("start", VMState.PAUSED, 409),
        ("shutdown", VMState.RUNNING, 204),
        ("shutdown", VMState.SHUTOFF, 409),
        ("reboot", VMState.RUNNING, 204),
        ("reboot", VMState.PAUSED, 409),
        ("forceoff", VMState.PAUSED, 204),
        ("forceoff", VMState.SHUTOFF, 409),
        ("forcereset", VMState.RUNNING, 204),
        ("forcereset", VMState.SHUTOFF, 409),
    ],
)
async def test_an_action_goes_through_where_the_state_allows_it(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, action: str, state: VMState, status: int
) -> None:
    (vm_uuid,) = kvm1.vms
    kvm1.change(vm_uuid, VMChange.CHANGED, state=state)
    answer = await client.post(f"/hosts/a/vms/web/{action}")
    assert answer.status_code == status
    assert kvm1.faults.calls["power"] == (1 if status == 204 else 0)
    if status == 409:
        assert answer.json()["code"] == "wrong-power-state"


async def test_the_actions_that_a_state_allows_are_listed(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("off", VMState.SHUTOFF)
    kvm1.define("on", VMState.RUNNING)

    off = (await client.get("/hosts/a/vms/off/actions")).json()
    on = (await client.get("/hosts/a/vms/on/actions")).json()

    assert [action["name"] for action in off] == ["start"]
    assert [action["name"] for action in on] == ["forceoff", "forcereset", "reboot", "shutdown"]
    assert (off[0]["plugin"], off[0]["permission"], off[0]["destructive"]) == ("power", "power", False)
    assert off[0]["params"]["$defs"]["NoParams"]["properties"] == {}
    assert (await client.get("/hosts/a/vms/none/actions")).json()["code"] == "vm-not-found"


class SupportsSnapshots:
    """What the fake driver cannot do."""


async def test_an_action_is_only_there_where_the_host_has_what_it_needs(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    ran: list[str] = []

    def needing(name: str, needs: type) -> VMAction:
        async def run(*_arguments: Any) -> None:
            ran.append(name)

        return VMAction(name=name, title=name, description=name, run=run, needs=needs)

    actions = ModuleType("actions")
    actions.virtumancer_vm_actions = hookimpl(  # type: ignore[attr-defined]
        lambda: [needing("snapshot", SupportsSnapshots), needing("picture", SupportsScreenshot)]
    )
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1), "actions": actions})
    config = load_config(None, {}, {"database.url": f"sqlite://{tmp_path}/needs.db", "server.auth": "off"})
    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
            offered = {offer["name"] for offer in (await client.get("/hosts/a/vms/web/actions")).json()}
            refused = await client.post("/hosts/a/vms/web/snapshot")
            done = await client.post("/hosts/a/vms/web/picture")

    assert "picture" in offered
    assert "snapshot" not in offered
    assert (refused.status_code, refused.json()["code"]) == (501, "ability-missing")
    assert refused.json()["ability"] == "SupportsSnapshots"
    assert refused.json()["detail"] == "host 'a' has no SupportsSnapshots, which snapshot needs"
    assert done.status_code == 204
    assert ran == ["picture"]


def test_an_ability_is_named_as_the_api_names_it() -> None:
    assert ability_name(SupportsScreenshot) == "screenshot"
    assert ability_name(SupportsSnapshots) == "SupportsSnapshots"


async def test_counters_cost_one_look_up_while_nothing_changes_and_follow_a_name_to_another_vm(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    first = kvm1.define("first", VMState.RUNNING, memory=1024)
    second = kvm1.define("second", VMState.RUNNING, memory=2048)
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    await client.get("/hosts/a/vms")
    before = kvm1.faults.calls["find_by_name"]
    assert (await client.get("/hosts/a/vms/first/stats")).json()["max_mem"] == 1024
    assert kvm1.faults.calls["find_by_name"] == before

    kvm1.change(first.uuid, name="third")
    kvm1.change(second.uuid, name="first")
    await asyncio.sleep(0)  # the events arrive
    assert (await client.get("/hosts/a/vms/first/stats")).json()["max_mem"] == 2048
    kvm1.undefine(second.uuid)
    assert (await client.get("/hosts/a/vms/first/stats")).status_code == 404
