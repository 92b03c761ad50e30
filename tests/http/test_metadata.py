"""Metadata: what people write about hosts and VMs stays, and tags give rights to nobody who should not have them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.http.access_kit import DB, WEB, World

LONG = "x" * 4097


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


def said(answer: httpx2.Response) -> tuple[str, str, list[str]]:
    assert answer.status_code == 200, answer.text
    document = answer.json()
    return document["title"], document["notes"], document["tags"]


async def test_a_vm_has_none_until_somebody_writes_some(world: World) -> None:
    answer = await world.admin.get("/hosts/a/vms/web/metadata")
    assert answer.json() == {"title": "", "notes": "", "tags": [], "changed_at": None, "changed_by": ""}
    assert answer.headers["etag"]


async def test_put_replaces_and_patch_changes_what_it_names(world: World) -> None:
    path = "/hosts/a/vms/web/metadata"
    assert said(await world.admin.put(path, json={"title": "Shop", "tags": ["web", "prod", "web"]})) == (
        "Shop", "", ["prod", "web"],
    )  # fmt: skip
    assert said(await world.admin.patch(path, json={"notes": "at night\nonly"})) == (
        "Shop", "at night\nonly", ["prod", "web"],
    )  # fmt: skip
    assert said(await world.admin.patch(path, json={"tags": []})) == ("Shop", "at night\nonly", [])
    assert said(await world.admin.put(path, json={})) == ("", "", [])
    assert (await world.admin.get(path)).json()["changed_by"].startswith("token admin@")


async def test_a_host_has_its_own_and_shows_them(world: World) -> None:
    await world.admin.put("/hosts/a/metadata", json={"title": "Rack 1", "notes": "old", "tags": ["rack"]})
    assert said(await world.admin.get("/hosts/a/metadata")) == ("Rack 1", "old", ["rack"])
    assert said(await world.admin.get("/hosts/a")) == ("Rack 1", "old", ["rack"])
    assert said(await world.admin.get("/hosts/b")) == ("", "", [])
    assert said(await world.admin.get("/hosts/a/vms/web/metadata")) == ("", "", [])


async def test_a_vm_keeps_them_over_a_rename_a_sync_and_a_restart(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.admin.put("/hosts/a/vms/web/metadata", json={"title": "Shop", "tags": ["prod"]})
        world.a.change(WEB, name="shop")
        await world.admin.get("/hosts/a/vms")
        assert said(await world.admin.get("/hosts/a/vms/shop/metadata")) == ("Shop", "", ["prod"])
        assert (await world.admin.get("/hosts/a/vms/web/metadata")).status_code == 404
        before = (await world.admin.get("/hosts/a/vms/shop/metadata")).headers["etag"]
    async with World(tmp_path) as world:
        answer = await world.admin.get(f"/hosts/a/vms/{WEB}/metadata")
        assert said(answer) == ("Shop", "", ["prod"])
        assert answer.headers["etag"] == before


async def test_a_vm_that_is_gone_and_comes_back_has_them_again(world: World) -> None:
    await world.admin.put("/hosts/a/vms/web/metadata", json={"title": "Shop"})
    vm = world.a.vms[WEB]
    world.a.undefine(WEB)
    await world.admin.get("/hosts/a/vms")
    assert (await world.admin.get(f"/hosts/a/vms/{WEB}/metadata")).status_code == 404
    world.a.define(vm.name, vm.state, WEB)
    assert said(await world.admin.get("/hosts/a/vms/web/metadata"))[0] == "Shop"


async def test_a_host_that_is_added_again_has_them_again(world: World) -> None:
    await world.admin.put("/hosts/a/metadata", json={"title": "Rack 1"})
    await world.admin.put("/hosts/a/vms/web/metadata", json={"title": "Shop"})
    assert (await world.admin.delete("/hosts/a")).status_code == 204
    assert (await world.admin.get("/hosts/a/metadata")).status_code == 404
    await world.add_hosts()
    assert said(await world.admin.get("/hosts/a"))[0] == "Rack 1"
    assert said(await world.admin.get("/hosts/a/vms/web/metadata"))[0] == "Shop"


async def test_they_can_be_read_and_changed_while_the_host_is_disconnected(world: World) -> None:
    made = await world.make({"rights": ["read", "metadata"], "host": "a", "vm": WEB})
    await world.admin.get("/hosts/a/vms")
    await world.admin.post("/hosts/a/disconnect")
    for client in (world.admin, made.client):
        for vm in ("web", WEB):
            assert (await client.patch(f"/hosts/a/vms/{vm}/metadata", json={"title": vm})).status_code == 200
            assert said(await client.get(f"/hosts/a/vms/{vm}/metadata"))[0] == vm
        assert (await client.get("/hosts/a/vms/none/metadata")).status_code == 404
    assert (await made.client.get("/hosts/a/vms/db/metadata")).status_code == 404


async def test_a_vm_that_was_defined_just_now_is_found_on_its_host(world: World) -> None:
    world.a.define("new")
    assert said(await world.admin.put("/hosts/a/vms/new/metadata", json={"title": "New"}))[0] == "New"


async def test_who_knows_another_version_changes_nothing(world: World) -> None:
    path = "/hosts/a/vms/web/metadata"
    old = (await world.admin.get(path)).headers["etag"]
    new = (await world.admin.put(path, json={"title": "1"}, headers={"If-Match": old})).headers["etag"]
    for method in ("PUT", "PATCH"):
        for tags in (old, f"W/{new}", '"nonsense"'):
            refused = await world.admin.request(method, path, json={"title": "2"}, headers={"If-Match": tags})
            assert (refused.status_code, refused.json()["code"]) == (412, "precondition-failed")
    assert said(await world.admin.get(path))[0] == "1"
    assert (
        await world.admin.patch(path, json={"title": "2"}, headers={"If-Match": f"{old}, {new}"})
    ).status_code == 200
    assert (await world.admin.patch(path, json={"title": "1"}, headers={"If-Match": "*"})).status_code == 200
    again = (await world.admin.get(path)).headers["etag"]
    assert again not in {old, new}
    assert (await world.admin.get(path, headers={"If-None-Match": again})).status_code == 304


async def test_nothing_new_is_no_change(world: World) -> None:
    path = "/hosts/a/vms/web/metadata"
    first = await world.admin.put(path, json={"title": "Shop"})
    assert (await world.admin.put(path, json={"title": "Shop"})).json() == first.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": "x" * 201}, "title"),
        ({"title": "a\nb"}, "title"),
        ({"title": "a\u0000"}, "title"),
        ({"notes": LONG}, "notes"),
        ({"notes": "\u001b[2J"}, "notes"),
        ({"tags": [f"t{number}" for number in range(33)]}, "tags"),
        ({"tags": ["Prod"]}, "tags"),
        ({"tags": ["-prod"]}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"tags": ["prod\n"]}, "tags"),
        ({"tags": ["рrod"]}, "tags"),
        ({"tags": ["x" * 64]}, "tags"),
        ({"tags": "prod"}, "tags"),
        ({"title": 1}, "title"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_field(world: World, body: Any, field: str) -> None:
    for method in ("PUT", "PATCH"):
        answer = await world.admin.request(method, "/hosts/a/vms/web/metadata", json=body)
        assert answer.status_code == 422, answer.text
        assert [place["field"].split("[")[0] for place in answer.json()["fields"]] == [field]


async def test_odd_but_honest_texts_are_kept(world: World) -> None:
    title, notes = "Läden 👩‍👩‍👧 «x» %2F", "\ta\r\n" + "é" * 4000
    tags = ["0", "a/b:c=d.e_f-g", "x" * 63]
    path = "/hosts/a/vms/web/metadata"
    assert said(await world.admin.put(path, json={"title": title, "notes": notes, "tags": tags})) == (
        title,
        notes,
        tags,
    )


async def test_whoever_describes_a_vm_gives_nobody_rights(world: World) -> None:
    """To tag is to give and take rights: it needs `access`, and the rights that hang on the tag, for good."""
    path = "/hosts/a/vms/web/metadata"
    await world.make({"role": "operator", "tag": "night"})
    writer = await world.make({"role": "operator"}, {"role": "admin", "tag": "night"})
    clerk = await world.make({"rights": ["read", "metadata", "access"]}, {"role": "admin", "tag": "night"})
    chief = await world.make({"role": "admin", "host": "a"})

    assert (await writer.client.patch(path, json={"title": "x"})).status_code == 200
    assert (await writer.client.patch(path, json={"tags": ["other"]})).status_code == 403
    assert (await writer.client.put(path, json={"tags": ["night"]})).status_code == 403
    assert (await clerk.client.patch(path, json={"tags": ["other"]})).status_code == 200
    assert (await clerk.client.patch(path, json={"tags": ["night"]})).status_code == 403
    assert (await chief.client.patch(path, json={"tags": ["night"]})).status_code == 200
    # What the clerk may do here hangs on the tag now, and is not enough to change who may.
    assert (await clerk.client.patch(path, json={"tags": []})).status_code == 403
    assert (await clerk.client.patch(path, json={"tags": ["night", "other"]})).status_code == 200
    assert (await writer.client.patch(path, json={"title": "y", "tags": ["other", "night"]})).status_code == 200
    assert (await chief.client.patch("/hosts/b/vms/other/metadata", json={"tags": ["night"]})).status_code == 404


async def test_the_tags_of_a_host_are_guarded_in_the_same_way(world: World) -> None:
    await world.make({"role": "operator", "host": "a", "tag": "rack"})
    clerk = await world.make({"rights": ["read", "metadata", "access"]})
    for host, status in (("a", 403), ("b", 200)):
        assert (await clerk.client.patch(f"/hosts/{host}/metadata", json={"tags": ["rack"]})).status_code == status
    assert (await world.admin.patch("/hosts/a/metadata", json={"tags": ["rack"]})).status_code == 200


async def test_what_hangs_on_a_tag_is_passed_on_by_that_tag_only(world: World) -> None:
    await world.admin.patch("/hosts/a/vms/web/metadata", json={"tags": ["night"]})
    clerk = await world.make({"rights": ["read", "access"]}, {"role": "operator", "tag": "night"})
    grants: list[tuple[dict[str, Any], int]] = [
        ({"role": "operator", "host": "a", "vm": WEB}, 403),
        ({"role": "operator"}, 403),
        ({"role": "operator", "tag": "day"}, 403),
        ({"role": "admin", "tag": "night"}, 403),
        ({"role": "operator", "tag": "night"}, 201),
        ({"role": "operator", "tag": "night", "host": "b"}, 201),
        ({"role": "viewer", "tag": "day"}, 201),
    ]
    for grant, status in grants:
        answer = await clerk.client.post("/tokens", json={"name": "x", "grants": [grant]})
        assert answer.status_code == status, grant


async def test_without_accounts_everybody_may_tag(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await world.make({"role": "admin", "tag": "night"})
    async with World(tmp_path, **{"server.auth": "off"}) as world:
        answer = await world.client(None).patch("/hosts/a/vms/web/metadata", json={"tags": ["night"]})
        assert said(answer) == ("", "", ["night"])
        assert answer.json()["changed_by"] == "anonymous"


async def test_a_change_of_metadata_is_on_record(world: World) -> None:
    await world.admin.patch(f"/hosts/a/vms/{DB}/metadata", json={"title": "x"})
    whats = [record.what async for record in world.application.services.audit.records()]
    assert "PATCH /api/v1/hosts/{host}/vms/{vm}/metadata" in whats
