"""Resources of plugins over HTTP: what one descriptor gives."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.http.resource_kit import NOTES_OF_SERVER, Snapshot, Snapshots, resource_plugin
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import VMState
from virtumancer.http.routes import reserved_names
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin

WEB = "/hosts/kvm1/vms/web/snapshots"


@pytest.fixture
def snapshots(kvm1: FakeHypervisor) -> Snapshots:
    kvm1.define("web", VMState.RUNNING)
    kvm1.define("off", VMState.SHUTOFF)
    served = Snapshots()
    kvm1.abilities.append(served)
    NOTES_OF_SERVER.texts.clear()
    NOTES_OF_SERVER.digests.clear()
    return served


@pytest.fixture
async def noted(
    tmp_path: Path, kvm1: FakeHypervisor, kvm2: FakeHypervisor, snapshots: Snapshots
) -> AsyncIterator[Application]:
    config = load_config(None, {"HOME": str(tmp_path)}, {"server.auth": "off"})
    extra = {"fake": fake_plugin(kvm1, kvm2), "noted": resource_plugin()}
    plugins = load_plugins(disabled=["libvirt"], extra=extra, reserved=reserved_names())
    async with create_app(config, plugins) as application:
        yield application


@pytest.fixture
async def api(noted: Application, kvm1: FakeHypervisor, kvm2: FakeHypervisor) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(noted, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        for hypervisor in (kvm1, kvm2):
            answer = await client.post("/hosts", json={"id": hypervisor.name, "uri": hypervisor.uri})
            assert answer.status_code == 201
        yield client


async def make(api: httpx2.AsyncClient, name: str, **headers: str) -> httpx2.Response:
    return await api.post(WEB, json={"name": name, "description": "d"}, headers=headers)


async def test_what_is_made_is_listed_and_got_as_it_was_answered(api: httpx2.AsyncClient) -> None:
    made = await make(api, "a/b ü?")
    assert (made.status_code, made.headers["Location"]) == (201, "/api/v1" + WEB + "/a%2Fb%20%C3%BC%3F")
    got = await api.get(made.headers["Location"].removeprefix("/api/v1"))
    assert got.json() == made.json() == {"name": "a/b ü?", "description": "d", "size": 7}
    assert (await api.get(WEB)).json() == [made.json()]


async def test_what_is_there_already_is_409_and_what_is_not_404(api: httpx2.AsyncClient) -> None:
    await make(api, "one")
    assert (await make(api, "one")).json()["code"] == "resource-exists"
    for method in ("GET", "DELETE", "PATCH"):
        assert (await api.request(method, f"{WEB}/none")).json()["code"] == "resource-not-found"
    assert (await api.post(f"{WEB}/none/revert")).status_code == 404


@pytest.mark.parametrize("key", ["", ".", ".."])
async def test_what_no_path_can_name_is_refused_before_anything_is_made(
    api: httpx2.AsyncClient, snapshots: Snapshots, key: str
) -> None:
    refused = await make(api, key)
    assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, "name")
    assert not snapshots.kept


async def test_who_looks_up_what_is_called_like_the_way_up_gets_just_that(
    api: httpx2.AsyncClient, snapshots: Snapshots, kvm1: FakeHypervisor
) -> None:
    web = next(vm for vm in kvm1.vms.values() if vm.name == "web")
    snapshots.kept[web.uuid] = {"..": Snapshot("..")}
    assert (await api.get(f"{WEB}/%2E%2E")).json()["name"] == ".."


async def test_a_change_leaves_what_it_does_not_name(api: httpx2.AsyncClient) -> None:
    await make(api, "one")
    changed = await api.patch(f"{WEB}/one", json={"description": "new"})
    assert changed.json() == {"name": "one", "description": "new", "size": 7}
    assert (await api.patch(f"{WEB}/one", json={})).json() == changed.json()
    assert (await api.patch(f"{WEB}/one", json={"name": "x"})).status_code == 422


async def test_who_knows_an_older_version_changes_nothing(api: httpx2.AsyncClient, snapshots: Snapshots) -> None:
    await make(api, "one")
    tag = (await api.get(f"{WEB}/one")).headers["ETag"]
    [uuid] = snapshots.kept
    snapshots.kept[uuid]["one"] = Snapshot("one", "d", 8)  # grown by itself
    assert (await api.patch(f"{WEB}/one", json={"description": "x"}, headers={"If-Match": tag})).status_code == 200
    late = await api.delete(f"{WEB}/one", headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition-failed")
    assert (await api.delete(f"{WEB}/one")).status_code == 204


async def test_a_dry_run_says_what_would_be_and_does_nothing(api: httpx2.AsyncClient, snapshots: Snapshots) -> None:
    planned = await api.post(WEB, params={"dry_run": "true"}, json={"name": "four"})
    assert (planned.status_code, planned.json()) == (200, {"bytes_needed": 4})
    assert (await api.get(WEB)).json() == []
    assert (await api.get("/operations")).json() == []


async def test_a_write_may_be_an_operation_that_others_see(api: httpx2.AsyncClient) -> None:
    begun = await make(api, "one", Prefer="respond-async")
    assert begun.status_code == 202
    ended = (await api.get(begun.headers["Location"].removeprefix("/api/v1"), params={"wait": 5})).json()
    assert (ended["state"], ended["action"], ended["result"]["name"]) == ("succeeded", "create-snapshot", "one")
    assert (ended["target"]["resource"], ended["target"]["key"]) == ("snapshots", "one")


async def test_a_write_that_waits_can_be_cancelled(api: httpx2.AsyncClient, snapshots: Snapshots) -> None:
    snapshots.gate.clear()
    waiting = asyncio.create_task(make(api, "one"))
    async with asyncio.timeout(10):
        while not (found := (await api.get("/operations")).json()) or not found[0]["cancellable"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await api.delete(f"/operations/{found[0]['id']}")).is_success
        refused = await waiting
    assert (refused.status_code, refused.json()["code"]) == (409, "cancelled")


async def test_the_same_key_does_it_once(api: httpx2.AsyncClient) -> None:
    first = await make(api, "one", **{"Idempotency-Key": "k1"})
    again = await make(api, "one", **{"Idempotency-Key": "k1"})
    assert (again.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (201, first.json(), "true")


async def test_an_action_answers_and_asks_for_the_state(api: httpx2.AsyncClient) -> None:
    await make(api, "one")
    assert (await api.post(f"{WEB}/one/revert")).json() == {"to": "one"}
    off = "/hosts/kvm1/vms/off/snapshots"
    await api.post(off, json={"name": "two"})
    assert (await api.post(f"{off}/two/revert")).json()["code"] == "wrong-power-state"


async def test_lists_are_filtered_sorted_and_turned(api: httpx2.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await make(api, name)
    assert [s["name"] for s in (await api.get(WEB, params={"filter": 'name != "b"', "sort": "-name"})).json()] == [
        "c",
        "a",
    ]
    page = await api.get(WEB, params={"limit": 2, "fields": "name"})
    assert page.json() == [{"name": "a"}, {"name": "b"}]
    assert (await api.get(page.links["next"]["url"].removeprefix("/api/v1"))).json() == [{"name": "c"}]


async def test_parameters_of_a_type_are_read(api: httpx2.AsyncClient, snapshots: Snapshots) -> None:
    assert (await api.get(WEB, params={"deep": "true"})).status_code == 200
    assert snapshots.seen[-1].query.deep is True
    assert (await api.get(WEB, params={"deep": "perhaps"})).status_code == 422


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (5, "a list of Snapshot is needed, it returned int"),
        ([Snapshot("a"), Snapshot("b", size="big")], "item 1 (Snapshot("),  # type: ignore[arg-type]
        ([Snapshot("a", size=1.5)], "field size: Expected `int`, got `float`"),  # type: ignore[arg-type]
        ([Snapshot("a"), Snapshot("a")], "item 1, field name: it is there twice: 'a'"),
        ([Snapshot("")], "item 0, field name: it is empty"),
        ([Snapshot("a", "\ud800")], "item 0, field description"),
        ([Snapshot("a", object())], "item 0, field description"),  # type: ignore[arg-type]
    ],
)
async def test_garbage_is_502_and_names_the_driver_the_item_and_the_field(
    api: httpx2.AsyncClient, snapshots: Snapshots, wrong: object, words: str
) -> None:
    snapshots.wrong = wrong
    answer = await api.get(WEB)
    assert (answer.status_code, answer.json()["plugin"]) == (502, "fake")
    assert words in answer.json()["detail"]


async def test_a_host_without_the_ability_is_501(api: httpx2.AsyncClient, kvm2: FakeHypervisor) -> None:
    kvm2.define("web")
    answer = await api.get("/hosts/kvm2/vms/web/snapshots")
    assert (answer.status_code, answer.json()["ability"]) == (501, "snapshots")


async def test_parents_are_looked_up(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/notes/none/lines")).json()["code"] == "resource-not-found"
    assert (await api.get("/hosts/kvm1/vms/none/snapshots")).json()["code"] == "vm-not-found"
    assert (await api.get("/hosts/none/vms/web/snapshots")).json()["code"] == "host-not-found"
    await api.post("/notes", json={"name": "one"})
    await api.put("/notes/one/content", content=b"a\nb\n")
    assert (await api.get("/notes/one/lines")).json() == [{"number": "0"}, {"number": "1"}]


async def test_what_was_done_to_what_is_on_record(api: httpx2.AsyncClient) -> None:
    await make(api, "one")
    await api.delete(f"{WEB}/one")
    acts = [a for a in (await api.get("/audit")).json()["records"] if "snapshots" in a["what"]]
    assert {(a["what"].partition(" ")[0], a["target"].get("key"), a["target"].get("snapshot")) for a in acts} == {
        ("POST", "one", None),
        ("DELETE", None, "one"),
    }
    assert {a["target"]["name"] for a in acts} == {"web"}


async def test_everybody_is_told_of_what_was_made(api: httpx2.AsyncClient) -> None:
    await make(api, "one")
    await api.post(f"{WEB}/one/revert")
    await api.delete(f"{WEB}/one")
    async with asyncio.timeout(10):
        while len(told := (await api.get("/events", params={"type": "snapshot.*"})).json()["items"]) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert [e["type"] for e in told] == ["snapshot.created", "snapshot.changed", "snapshot.deleted"]
    assert told[0]["data"] == {"resource": "snapshots", "keys": ["one"]}
    assert told[0]["name"] == "one"


async def test_content_goes_up_and_comes_down(api: httpx2.AsyncClient) -> None:
    await api.post("/notes", json={"name": "one"})
    text = bytes(range(256)) * 1000
    digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
    put = await api.put("/notes/one/content", content=text, headers={"Content-Digest": f"sha-256=:{digest}:"})
    assert put.json() == {"received": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    whole = await api.get("/notes/one/content")
    assert (whole.content, whole.headers["Content-Type"]) == (text, "application/octet-stream")
    part = await api.get("/notes/one/content", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, text[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(text)}"
    last = await api.get("/notes/one/content", headers={"Range": "bytes=-5"})
    assert last.content == text[-5:]
    behind = await api.get("/notes/one/content", headers={"Range": f"bytes={len(text)}-"})
    assert (behind.status_code, behind.headers["Content-Range"]) == (416, f"bytes */{len(text)}")


async def test_an_upload_is_never_put_off(api: httpx2.AsyncClient) -> None:
    await api.post("/notes", json={"name": "one"})
    put = await api.put("/notes/one/content", content=b"x", headers={"Prefer": "respond-async"})
    assert put.status_code == 200


async def test_another_digest_than_said_is_refused_and_counts_for_nothing(api: httpx2.AsyncClient) -> None:
    await api.post("/notes", json={"name": "one"})
    digest = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    put = await api.put("/notes/one/content", content=b"text", headers={"Content-Digest": f"sha-256=:{digest}:"})
    assert (put.status_code, put.json()["received"]) == (422, 4)
    assert NOTES_OF_SERVER.texts["one"] == b""


async def test_a_digest_that_is_known_is_said_of_the_whole_and_of_each_part(api: httpx2.AsyncClient) -> None:
    text = bytes(range(256)) * 1000
    NOTES_OF_SERVER.texts |= {"one": text, "unknown": text}
    NOTES_OF_SERVER.digests["one"] = hashlib.sha256(text).digest()
    said = f"sha-256=:{base64.b64encode(hashlib.sha256(text).digest()).decode()}:"
    whole = await api.get("/notes/one/content")
    assert (whole.content, whole.headers["Repr-Digest"]) == (text, said)
    part = await api.get("/notes/one/content", headers={"Range": "bytes=10-19"})
    assert (part.content, part.headers["Repr-Digest"]) == (text[10:20], said)
    assert "Repr-Digest" not in (await api.get("/notes/unknown/content")).headers


@pytest.mark.parametrize("text", [b"", b"text", bytes(200_000)])
async def test_other_bytes_than_the_digest_says_do_not_look_whole(api: httpx2.AsyncClient, text: bytes) -> None:
    NOTES_OF_SERVER.texts["one"] = text
    NOTES_OF_SERVER.digests["one"] = hashlib.sha256(b"other").digest()
    answer = await api.get("/notes/one/content")
    whole = answer.status_code == 200 and len(answer.content) == int(answer.headers["Content-Length"])
    assert not whole
    calls = (await api.get("/plugins/noted")).json()["calls"]
    assert [call["failures"] for call in calls if call["name"] == "notes.download"] == [1]


@pytest.mark.parametrize("digest", ["a text", b"too short", 7])
async def test_what_is_no_digest_is_the_plugins_failure(api: httpx2.AsyncClient, digest: object) -> None:
    NOTES_OF_SERVER.texts["one"] = b"text"
    NOTES_OF_SERVER.digests["one"] = digest
    answer = await api.get("/notes/one/content")
    assert (answer.status_code, answer.json()["plugin"]) == (502, "noted"), answer.text
    assert "32 bytes or None are needed" in answer.json()["detail"]


async def test_content_that_fails_midway_does_not_look_whole(api: httpx2.AsyncClient) -> None:
    NOTES_OF_SERVER.texts["broken"] = b"x" * 200_000
    answer = await api.get("/notes/broken/content")
    assert len(answer.content) < 200_000 == int(answer.headers["Content-Length"])


async def test_the_types_are_described(api: httpx2.AsyncClient) -> None:
    types = {one["name"]: one for one in (await api.get("/resources")).json()}
    assert types.keys() == {"snapshots", "notes", "lines", "networks", "leases"}
    snapshots = types["snapshots"]
    assert snapshots["path"] == "/hosts/{host}/vms/{vm}/snapshots"
    assert snapshots["rights"] == {
        "list": "read",
        "get": "read",
        "create": "snapshot",
        "change": "snapshot",
        "delete": "snapshot",
    }
    assert snapshots["columns"] == ["name", "size"]
    assert snapshots["create"]["$defs"]["NewSnapshot"]["required"] == ["name"]
    assert [a["name"] for a in snapshots["actions"]] == ["revert"]
    assert types["lines"]["path"] == "/notes/{note}/lines"


async def test_the_document_describes_them(api: httpx2.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    item = document["paths"]["/api/v1/hosts/{host}/vms/{vm}/snapshots/{snapshot}"]
    assert item.keys() == {"get", "patch", "delete"}
    listed = document["paths"]["/api/v1/hosts/{host}/vms/{vm}/snapshots"]["get"]
    assert (listed["x-permission"], listed["x-columns"]) == ("read", ["name", "size"])
    content = document["paths"]["/api/v1/notes/{note}/content"]
    assert content["put"]["requestBody"]["content"] == {"application/octet-stream": {}}
    assert content["get"]["responses"]["200"]["content"] == {"application/octet-stream": {}}
