"""Lists as a client sees them: in pages, filtered, fresh and stale, and only what one may read."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.access_kit import DB, OTHER, WEB, World
from virtumancer.app import Application
from virtumancer.contracts import VMState
from virtumancer.testing import FakeHypervisor


@pytest.fixture(autouse=True)
async def hosts(client: httpx2.AsyncClient, kvm1: FakeHypervisor, kvm2: FakeHypervisor) -> None:
    for number in range(4):
        kvm1.define(f"web{number}", VMState.RUNNING if number % 2 else VMState.SHUTOFF)
    kvm2.define("db", VMState.RUNNING)
    for name, hypervisor in (("b", kvm2), ("a", kvm1)):
        assert (await client.post("/hosts", json={"id": name, "uri": hypervisor.uri})).status_code == 201
        await client.get(f"/hosts/{name}/vms")


async def ask(client: httpx2.AsyncClient, path: str = "/vms", **params: Any) -> Any:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def turn_pages(client: httpx2.AsyncClient, **params: Any) -> AsyncIterator[list[dict[str, Any]]]:
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(client, **params, cursor=cursor)
        yield page["items"]
        cursor = page["next_cursor"]


async def follow(client: httpx2.AsyncClient, path: str) -> AsyncIterator[list[dict[str, Any]]]:
    while path:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        yield answer.json()
        path = answer.links["next"]["url"].removeprefix("/api/v1") if answer.links else ""


async def test_the_list_over_all_hosts_has_each_vm_with_its_host_and_when_it_was_seen(
    client: httpx2.AsyncClient,
) -> None:
    page = await ask(client)

    assert (page["next_cursor"], page["stale_hosts"]) == (None, [])
    assert [(vm["host"], vm["source"], vm["stale"]) for vm in page["items"]] == [("a", "cache", False)] * 4 + [
        ("b", "cache", False)
    ]
    assert all(vm["observed_at"].endswith("Z") for vm in page["items"])
    live = (await client.get("/hosts/b/vms")).json()[0]
    assert {key: page["items"][-1][key] for key in live} == live


async def test_pages_together_are_the_whole_list(client: httpx2.AsyncClient) -> None:
    whole = (await ask(client))["items"]

    for sort in ("", "name", "-name", "state,-uuid", "-host"):
        pages = [page async for page in turn_pages(client, limit=2, sort=sort)]
        assert [len(page) for page in pages] == [2, 2, 1]
        assert sorted(vm["uuid"] for page in pages for vm in page) == sorted(vm["uuid"] for vm in whole)
    assert [vm async for page in turn_pages(client, limit=2) for vm in page] == whole


async def test_pages_stay_when_vms_are_renamed_removed_and_added_meanwhile(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    whole = [vm["uuid"] for vm in (await ask(client))["items"]]
    found: list[str] = []
    async for page in turn_pages(client, limit=2):
        found += [vm["uuid"] for vm in page]
        if len(found) == 2:
            kvm1.undefine(whole[1])  # the one at which the page ended
            kvm1.change(whole[0], name="zzz")
            kvm1.change(whole[3], name="aaa")
            kvm1.define("new", vm_uuid="00000000-0000-4000-8000-000000000000")  # before the cursor
            await client.get("/hosts/a/vms")

    assert found == whole


async def test_a_host_removed_between_pages_takes_only_its_own_vms(client: httpx2.AsyncClient) -> None:
    first = await ask(client, limit=2)
    assert (await client.delete("/hosts/a")).status_code == 204

    second = await ask(client, limit=2, cursor=first["next_cursor"])

    assert ([vm["name"] for vm in second["items"]], second["next_cursor"]) == (["db"], None)


async def test_filter_sort_and_fields_work_on_every_list_that_has_vms(client: httpx2.AsyncClient) -> None:
    params = {"filter": 'state = "running" and name prefix "web"', "sort": "-name", "fields": "name,graphics.vnc"}
    wanted = [{"name": "web3", "graphics": {"vnc": False}}, {"name": "web1", "graphics": {"vnc": False}}]

    assert (await ask(client, **params))["items"] == wanted
    assert (await ask(client, **params, limit=9))["items"] == wanted
    assert await ask(client, "/hosts/a/vms", **params) == wanted


async def test_where_and_when_a_vm_was_seen_can_be_filtered_by(client: httpx2.AsyncClient) -> None:
    found = await ask(
        client, filter='host = "b" and source = "cache" and not stale and observed_at > "2020-01-01T00:00:00Z"'
    )

    assert [vm["name"] for vm in found["items"]] == ["db"]


@pytest.mark.parametrize("path", ["/hosts", "/hosts/a/vms", "/hosts/a/vms/db"])
async def test_base_lists_are_whole_arrays_and_page_with_links(client: httpx2.AsyncClient, path: str) -> None:
    whole = await client.get(path)
    assert not whole.links
    pages = [page async for page in follow(client, f"{path}?limit=1")]

    assert all(len(page) == 1 for page in pages)
    key = next(name for name in ("ID", "uuid", "id") if name in pages[0][0])
    assert sorted(page[0][key] for page in pages) == sorted(row[key] for row in whole.json())


async def test_hosts_page_in_the_order_in_which_they_were_added(client: httpx2.AsyncClient) -> None:
    assert [page[0]["id"] async for page in follow(client, "/hosts?limit=1")] == ["b", "a"]
    assert [host["id"] for host in await ask(client, "/hosts", sort="id")] == ["a", "b"]


async def test_a_link_keeps_what_was_asked_for(client: httpx2.AsyncClient) -> None:
    pages = [
        page async for page in follow(client, "/hosts/a/vms?limit=1&fields=name&filter=state%20%3D%201&sort=-name")
    ]

    assert pages == [[{"name": "web3"}], [{"name": "web1"}]]


@pytest.mark.parametrize(
    ("params", "code", "field"),
    [
        ({"limit": "0"}, "invalid-value", "limit"),
        ({"limit": "many"}, "invalid-value", "limit"),
        ({"cursor": "made-up"}, "invalid-value", "cursor"),
        ({"sort": "nothing"}, "invalid-value", "sort"),
        ({"fields": "__class__"}, "invalid-value", "fields"),
        ({"filter": "name = "}, "invalid-filter", "filter"),
        ({"filter": "1; DROP TABLE vms"}, "invalid-filter", "filter"),
        ({"filter": "name.__class__.__mro__ = 1"}, "invalid-filter", "filter"),
        ({"filter": "name like '%'"}, "invalid-filter", "filter"),
    ],
)
@pytest.mark.parametrize("path", ["/vms", "/hosts", "/hosts/a/vms", "/hosts/a/vms/db"])
async def test_what_cannot_be_asked_is_refused_and_named(
    client: httpx2.AsyncClient, path: str, params: dict[str, str], code: str, field: str
) -> None:
    answer = await client.get(path, params=params)

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["fields"][0]["field"]) == (422, code, field)
    assert ("position" in problem) is (code == "invalid-filter")


async def test_a_cursor_of_another_order_is_refused(client: httpx2.AsyncClient) -> None:
    cursor = (await ask(client, limit=1, sort="name"))["next_cursor"]

    assert (await client.get("/vms", params={"cursor": cursor})).status_code == 422


async def test_vms_of_a_host_that_was_lost_are_shown_as_stale_and_why(
    client: httpx2.AsyncClient, kvm2: FakeHypervisor
) -> None:
    assert (await client.post("/hosts/b/disconnect")).status_code == 200

    page = await ask(client)

    assert [(vm["host"], vm["stale"]) for vm in page["items"]] == [("a", False)] * 4 + [("b", True)]
    assert [(host["host"], host["code"]) for host in page["stale_hosts"]] == [("b", "host-unavailable")]
    assert "disconnected by the user" in page["stale_hosts"][0]["detail"]


async def test_vms_that_an_earlier_process_saw_come_from_the_store(
    application: Application, client: httpx2.AsyncClient
) -> None:
    whole = (await ask(client))["items"]
    session = application.services.hosts.session("b")
    await session.stop("gone")
    session.inventory.seen = None  # as after a start

    page = await ask(client, limit=5)

    assert [vm["uuid"] for vm in page["items"]] == [vm["uuid"] for vm in whole]
    assert (page["items"][-1]["source"], page["items"][-1]["stale"]) == ("store", True)
    assert (await ask(client))["items"] == page["items"]


async def test_fresh_looks_at_the_hosts(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    vm = next(iter(kvm1.vms.values()))
    kvm1.vms[vm.uuid] = type(vm)(**{name: getattr(vm, name) for name in vm.__struct_fields__} | {"name": "unheard"})

    page = await ask(client, fresh="true", filter='name = "unheard"')

    assert [(vm["source"], vm["stale"]) for vm in page["items"]] == [("live", False)]


async def test_a_host_that_hangs_is_stale_in_a_fresh_list_and_the_others_are_live(
    client: httpx2.AsyncClient, kvm2: FakeHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtumancer.services.vms.listing.FRESH_TIMEOUT", 0.3)
    kvm2.faults.hang("list_vms")

    async with asyncio.timeout(5):
        page = await ask(client, fresh="true")
        cached = await ask(client)

    assert [(vm["host"], vm["source"], vm["stale"]) for vm in page["items"]] == [("a", "live", False)] * 4 + [
        ("b", "cache", True)
    ]
    assert [(host["host"], host["code"]) for host in page["stale_hosts"]] == [("b", "timeout")]
    assert len(cached["items"]) == 5


async def test_a_selector_with_a_filter_means_those_that_fit(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    body = {"action": "forceoff", "selector": {"filter": 'host = "a" and state = "running" and name != "web3"'}}
    begun = await client.post("/vms/actions", json=body)
    assert begun.status_code == 202, begun.text

    ended = await ask(client, f"/operations/{begun.json()['id']}", wait=10)

    assert [(outcome["name"], outcome["outcome"]) for outcome in ended["outcomes"]] == [("web1", "ok")]
    assert [vm.name for vm in kvm1.vms.values() if vm.state is VMState.RUNNING] == ["web3"]


async def test_a_selector_with_a_filter_that_is_none_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/vms/actions", json={"action": "start", "selector": {"filter": "name ="}})

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["fields"][0]["field"]) == (
        422,
        "invalid-filter",
        "selector.filter",
    )


async def test_lists_hold_only_what_the_caller_may_read(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.admin.get("/hosts/a/vms")
        await world.admin.get("/hosts/b/vms")
        some = await world.make({"role": "viewer", "host": "a", "vm": DB}, {"role": "viewer", "host": "b"})
        nobody = await world.make({"rights": ["count"]})
        for params in ({}, {"limit": "9"}, {"sort": "name"}, {"fresh": "true"}, {"filter": "vcpu > 0"}):
            assert {vm["uuid"] for vm in (await ask(world.admin, **params))["items"]} == {WEB, DB, OTHER}
            assert {vm["uuid"] for vm in (await ask(some.client, **params))["items"]} == {DB, OTHER}
            assert (await ask(nobody.client, **params))["items"] == []
        assert [vm["uuid"] for vm in await ask(some.client, "/hosts/a/vms", limit=9)] == [DB]
        assert [row["name"] for row in await ask(some.client, "/hosts/a/vms/db", limit=9)] == ["db"]
        assert [host["id"] for host in await ask(some.client, "/hosts", limit=9)] == ["b"]


async def test_who_may_read_nothing_of_a_host_is_not_told_that_it_is_stale(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        some = await world.make({"role": "viewer", "host": "a"})
        for host in ("a", "b"):
            assert (await world.admin.post(f"/hosts/{host}/disconnect")).status_code == 200

        page = await ask(some.client)

        assert {host["host"] for host in page["stale_hosts"]} == {"a"}
        assert {vm["host"] for vm in page["items"]} == {"a"}


async def test_a_cursor_of_somebody_else_shows_nothing_more(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.admin.get("/hosts/a/vms")
        some = await world.make({"role": "viewer", "host": "a", "vm": DB})
        cursor = (await ask(world.admin, limit=1))["next_cursor"]

        assert {vm["uuid"] for vm in (await ask(some.client, cursor=cursor))["items"]} <= {DB}


async def test_tokens_and_users_page_too(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        for name in ("one", "two"):
            await world.make({"role": "viewer"}, name=name)
        pages = [page async for page in follow(world.admin, "/tokens?limit=1&fields=name")]
        assert [page[0]["name"] for page in pages][1:] == ["one", "two"]
        assert [token["name"] for token in await ask(world.admin, "/tokens", filter='name in ("two")')] == ["two"]
        assert await ask(world.admin, "/users", limit=1) == []


async def test_what_people_wrote_down_is_in_lists_and_can_be_filtered_by(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    before = (await client.get("/vms")).headers["ETag"]
    said = {"title": "Shop", "notes": "", "tags": ["prod", "web"]}
    for path in ("/hosts/a/vms/web1/metadata", "/hosts/a/metadata"):
        assert (await client.put(path, json=said)).status_code == 200

    found = await ask(client, filter='tags = "prod"', sort="title", limit=9)
    assert [(vm["name"], vm["title"], vm["notes"], vm["tags"]) for vm in found["items"]] == [
        ("web1", "Shop", "", ["prod", "web"])
    ]
    assert [vm["name"] for vm in await ask(client, "/hosts/a/vms", filter='title prefix "Sh"')] == ["web1"]
    assert await ask(client, "/hosts", filter='tags = "prod"', fields="id,tags") == [
        {"id": "a", "tags": ["prod", "web"]}
    ]
    assert await ask(client, "/hosts", filter='tags = "prod"') == [{"id": "a", "uri": kvm1.uri}]
    assert (await client.get("/vms")).headers["ETag"] != before


async def test_who_has_a_grant_by_tag_lists_what_has_the_tag_now(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        for host in ("a", "b"):
            await world.admin.get(f"/hosts/{host}/vms")
        some = await world.make({"role": "viewer", "tag": "mine"})
        for host, vm, tags in (("a", DB, ["mine"]), ("b", OTHER, ["mine"]), ("b", OTHER, [])):
            changed = await world.admin.put(f"/hosts/{host}/vms/{vm}/metadata", json={"tags": tags})
            assert changed.status_code == 200, changed.text

        assert [vm["uuid"] for vm in (await ask(some.client))["items"]] == [DB]
        assert [vm["uuid"] for vm in await ask(some.client, "/hosts/a/vms")] == [DB]


async def test_operations_page_newest_first_while_others_begin(client: httpx2.AsyncClient) -> None:
    async def begin(name: str) -> str:
        answer = await client.post("/vms/actions", json={"action": "start", "selector": {"names": [name]}})
        return answer.json()["id"]

    begun = [await begin(f"web{number}") for number in range(3)]
    found: list[str] = []
    async for page in follow(client, "/operations?limit=1&fields=id"):
        found += [operation["id"] for operation in page]
        if len(found) == 1:
            await begin("db")

    assert found == begun[::-1]
    by_age = await ask(client, "/operations", sort="created_at", fields="id", limit=3)
    assert [operation["id"] for operation in by_age] == begun
    fitting = await ask(client, "/operations", filter=f'id in ("{begun[0]}", "none")')
    assert [operation["id"] for operation in fitting] == begun[:1]


async def test_a_host_that_was_just_added_has_its_vms_in_the_list(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web01")
    kvm1.faults.delay("list_vms", 0.2)
    assert (await client.post("/hosts", json={"id": "late", "uri": kvm1.uri})).status_code == 201
    listed = (await client.get("/vms", params={"filter": 'host = "late"'})).json()
    assert ("web01", "cache") in [(vm["name"], vm["source"]) for vm in listed["items"]]


async def test_a_host_that_tells_of_some_of_its_vms_only_keeps_the_others_and_is_stale(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    before = {vm["uuid"]: vm["db_id"] for vm in (await client.get("/hosts/a/vms")).json()}
    kvm1.faults.partial("list_vms", 3)

    partial = {vm["uuid"]: vm["db_id"] for vm in (await client.get("/hosts/a/vms")).json()}
    (stale,) = (await ask(client))["stale_hosts"]
    kvm1.faults.partial("list_vms", 0)
    whole = {vm["uuid"]: vm["db_id"] for vm in (await client.get("/hosts/a/vms")).json()}

    assert partial == whole == before
    assert (stale["host"], stale["code"]) == ("a", "")
    assert "did not tell of all its VMs" in stale["detail"]
    assert (await ask(client))["stale_hosts"] == []
