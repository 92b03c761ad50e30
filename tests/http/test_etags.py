"""What a client has already is not sent again, and what was changed meanwhile is not overwritten."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.http.access_kit import DB, WEB, World
from virtumancer.contracts import VMChange
from virtumancer.testing import FakeHypervisor

VIEWER = {"grants": [{"role": "viewer"}]}
OPERATOR = {"grants": [{"role": "operator"}]}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        for host in ("a", "b"):
            await made.admin.get(f"/hosts/{host}/vms")
        yield made


async def etag_of(client: httpx2.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.headers["ETag"]


@pytest.mark.parametrize(
    "path",
    ["/hosts", "/hosts/a", "/hosts/a/vms", "/hosts/a/vms/db", "/vms", "/vms?limit=1", "/users", "/plugins/power"],
)
async def test_what_a_client_has_already_is_not_sent_again(world: World, path: str) -> None:
    world.admin.headers["Accept-Encoding"] = "identity"
    etag = await etag_of(world.admin, path)
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await world.admin.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)

    for other in ('"other"', "nonsense", ""):
        assert (await world.admin.get(path, headers={"If-None-Match": other})).status_code == 200


@pytest.mark.parametrize("path", ["/hosts/a/vms", "/hosts/a/vms/db", "/vms", "/vms?limit=1"])
async def test_the_etag_is_another_one_when_the_content_is(world: World, path: str) -> None:
    etag = await etag_of(world.admin, path)
    world.a.change(next(iter(world.a.vms)), name="renamed")
    await world.admin.get("/hosts/a/vms")

    answer = await world.admin.get(path, headers={"If-None-Match": etag})

    assert (answer.status_code, answer.headers["ETag"] != etag) == (200, True)


async def test_a_list_that_became_stale_has_another_etag(world: World) -> None:
    etag = await etag_of(world.admin, "/vms")
    await world.admin.post("/hosts/b/disconnect")

    assert await etag_of(world.admin, "/vms") != etag


async def test_callers_with_different_rights_have_different_etags(world: World) -> None:
    some = await world.make({"role": "viewer", "host": "a"})
    for path in ("/vms", "/vms?limit=9", "/hosts"):
        assert await etag_of(world.admin, path) != await etag_of(some.client, path)


async def test_the_tag_of_all_vms_tells_nothing_of_what_may_not_be_read(world: World) -> None:
    of_web = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    of_b = await world.make({"role": "viewer", "host": "b"})
    before = [await etag_of(some.client, "/vms") for some in (of_web, of_b)]

    assert (await world.admin.put(f"/hosts/a/vms/{DB}/metadata", json={"title": "other"})).is_success
    assert [await etag_of(some.client, "/vms") for some in (of_web, of_b)] == before

    world.a.change(WEB, VMChange.SUSPENDED)
    await world.admin.get("/hosts/a/vms")
    assert await etag_of(of_b.client, "/vms") == before[1]
    assert await etag_of(of_web.client, "/vms") != before[0]


async def test_a_secret_has_no_etag_and_is_not_compressed(world: World) -> None:
    body = {"name": "x" * 90, "grants": [{"role": "viewer", "host": "a", "vm": f"{n:036}"} for n in range(50)]}
    answer = await world.admin.post("/tokens", json=body)

    assert answer.status_code == 201
    assert "ETag" not in answer.headers
    assert "Content-Encoding" not in answer.headers
    assert len(answer.content) > 2048


async def test_a_token_is_changed_only_as_the_client_knows_it(world: World) -> None:
    made = await world.make({"role": "viewer"})
    path = f"/tokens/{made.id}"
    etag = await etag_of(world.admin, path)
    assert (await world.admin.patch(path, json=OPERATOR, headers={"If-Match": etag})).status_code == 200

    for refused in (
        await world.admin.patch(path, json=VIEWER, headers={"If-Match": etag}),
        await world.admin.delete(path, headers={"If-Match": etag}),
        await world.admin.delete(path, headers={"If-Match": f"W/{await etag_of(world.admin, path)}"}),
        await world.admin.delete(path, headers={"If-Match": "nonsense"}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition-failed")

    assert (await world.admin.get(path)).json()["grants"] == OPERATOR["grants"]
    last = await etag_of(world.admin, path)
    assert (await world.admin.delete(path, headers={"If-Match": f'"other", {last}'})).status_code == 204


async def test_of_two_who_change_a_token_at_once_one_is_told(world: World) -> None:
    made = await world.make({"role": "viewer"})
    path = f"/tokens/{made.id}"
    etag = await etag_of(world.admin, path)

    answers = await asyncio.gather(
        *(
            world.admin.patch(path, json={"grants": [{"role": "viewer", "host": host}]}, headers={"If-Match": etag})
            for host in "ab"
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_what_is_not_there_is_404_whatever_the_client_knows(world: World) -> None:
    for path in ("/tokens/none", "/users/none", "/hosts/none"):
        assert (await world.admin.delete(path, headers={"If-Match": '"some"'})).status_code == 404


async def test_a_key_that_came_with_a_precondition_that_failed_may_be_used_again(world: World) -> None:
    made = await world.make({"role": "viewer"})
    path = f"/tokens/{made.id}"
    headers = {"Idempotency-Key": "once"}
    assert (await world.admin.patch(path, json=OPERATOR, headers=headers | {"If-Match": '"old"'})).status_code == 412

    etag = await etag_of(world.admin, path)

    assert (await world.admin.patch(path, json=OPERATOR, headers=headers | {"If-Match": etag})).status_code == 200


async def test_a_user_is_changed_and_removed_only_as_the_client_knows_them(world: World) -> None:
    user = {"name": "alice", "password": "a long enough password", **VIEWER}
    assert (await world.admin.post("/users", json=user)).status_code == 201
    etag = await etag_of(world.admin, "/users/alice")
    assert (await world.admin.patch("/users/alice", json=OPERATOR, headers={"If-Match": etag})).status_code == 200

    assert (await world.admin.delete("/users/alice", headers={"If-Match": etag})).status_code == 412
    assert (await world.admin.delete("/users/alice", headers={"If-Match": "*"})).status_code == 204


async def test_a_host_is_removed_only_as_the_client_knows_it(world: World) -> None:
    etag = await etag_of(world.admin, "/hosts/a")
    await world.admin.post("/hosts/a/disconnect")

    assert (await world.admin.delete("/hosts/a", headers={"If-Match": etag})).status_code == 412
    now = await etag_of(world.admin, "/hosts/a")
    assert (await world.admin.delete("/hosts/a", headers={"If-Match": now})).status_code == 204


@pytest.fixture
async def many(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    for number in range(600):
        kvm1.define(f"vm{number}")
    assert (await client.post("/hosts", json={"id": "many", "uri": kvm1.uri})).status_code == 201
    await client.get("/hosts/many/vms")


@pytest.mark.parametrize("path", ["/vms", "/vms?limit=100", "/hosts/many/vms", "/openapi.json"])
@pytest.mark.usefixtures("many")
async def test_large_answers_are_compressed_for_who_takes_it(client: httpx2.AsyncClient, path: str) -> None:
    plain = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    for accepted in ("gzip", "br;q=1.0, gzip;q=0.5", "*", "GZIP"):
        async with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as answer:
            raw = b"".join([chunk async for chunk in answer.aiter_raw()])
            assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
            assert gzip.decompress(raw) == plain.content
            assert len(raw) < len(plain.content) / 3

    for refused in ("gzip;q=0", "gzip;q=0.000, *", "identity, *;q=0", "br", ""):
        answer = await client.get(path, headers={"Accept-Encoding": refused})
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.usefixtures("many")
async def test_the_tag_of_a_compressed_answer_is_another_one_and_known_all_the_same(client: httpx2.AsyncClient) -> None:
    for path in ("/vms", "/vms?limit=100"):
        packed = (await client.get(path, headers={"Accept-Encoding": "gzip"})).headers["ETag"]
        plain = (await client.get(path, headers={"Accept-Encoding": "identity"})).headers["ETag"]
        assert packed != plain
        for known in (packed, plain):
            for accepted in ("gzip", "identity"):
                headers = {"If-None-Match": known, "Accept-Encoding": accepted}
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, answer.content) == (304, b"")
                assert "Content-Encoding" not in answer.headers


async def test_small_answers_are_not_compressed(client: httpx2.AsyncClient) -> None:
    assert "Content-Encoding" not in (await client.get("/hosts", headers={"Accept-Encoding": "gzip"})).headers


async def test_a_long_error_is_compressed_too(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/vms?filter=nothing%20%3D%201", headers={"Accept-Encoding": "gzip"})

    assert answer.json()["code"] == "invalid-filter"
