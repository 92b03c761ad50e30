"""Tokens and grants: who is let in, what each sees, and what ends when a right is withdrawn."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.http.access_kit import DB, WEB, World, bearing, callers_of, end_of, within_a_second
from virtumancer.config import admin_token_file, load_config
from virtumancer.services.audit.log import AuditLog
from virtumancer.services.auth import EVERYTHING, AuthMaintenance, Grant, Principal
from virtumancer.store import AuditRepository, Database


def audit_of(database: Database) -> AuditLog:
    return AuditLog(AuditRepository(database))


REFUSED = 4403


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


@pytest.fixture
async def ws(world: World) -> AsyncIterator[str]:
    async with world.served() as address:
        yield address


async def refusal(target: str, **options: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(target, **options):
            pass
    response = refused.value.response
    return response.status_code, str(json.loads(response.body or b"")["code"])


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer vmt_", "Bearer vmt_00000000_x", "Basic YWRtaW46YWRtaW4=", "bearer é"],
)
async def test_who_has_no_valid_token_is_told_what_is_needed(world: World, header: str) -> None:
    headers = {"Authorization": header.encode()} if header else {}

    answer = await world.client(None).get("/hosts", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_secret_is_compared_as_a_whole(world: World) -> None:
    for token in (world.token[:-1], world.token + "x", world.token.upper(), world.token.replace("vmt_", "")[:9]):
        assert (await world.client(token).get("/me")).status_code == 401
    assert (await world.client(world.token).get("/me")).status_code == 200


async def test_the_administrators_token_is_for_its_owner_alone_and_only_its_hash_is_stored(world: World) -> None:
    file = world.folder / "admin-token"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = world.token.split("_", 2)[2].encode()
    stored = b"".join(path.read_bytes() for path in world.folder.glob("v.db*"))
    assert secret not in stored


async def test_the_administrators_token_lasts_and_is_replaced_when_its_file_is_removed(tmp_path: Path) -> None:
    async with World(tmp_path) as first:
        before = first.token
    async with World(tmp_path) as second:
        assert second.token == before
    (tmp_path / "admin-token").unlink()
    async with World(tmp_path) as third:
        assert third.token != before
        assert (await third.client(before).get("/me")).status_code == 401
        assert len((await third.admin.get("/tokens")).json()) == 1


async def test_each_database_has_a_token_file_of_its_own(tmp_path: Path) -> None:
    for name, expected in (("a/one.db", "a/one.admin-token"), ("a/two.db", "a/two.admin-token")):
        config = load_config(None, {"HOME": str(tmp_path)}, {"database.url": f"sqlite://{tmp_path}/{name}"})
        assert admin_token_file(config) == tmp_path / expected


async def test_a_token_of_another_database_is_told_about(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("vmt_00000000_other\n")
    tokens = []
    with structlog.testing.capture_logs() as logs:
        async with Database(f"sqlite://{tmp_path}/v.db") as database:
            callers = callers_of(database)
            known = callers.tokens
            async with AuthMaintenance(callers, tmp_path / "admin-token", audit_of(database), shared=False):
                tokens = list(known.infos())

    assert tokens == []
    assert any("not valid for this database" in entry["event"] for entry in logs)


async def test_a_token_file_that_cannot_be_written_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    world = World(tmp_path, **{"server.admin_token_file": f"{tmp_path}/file/admin-token"})

    with pytest.raises(Exception, match=r"administrator's token cannot be written to .*admin_token_file"):
        await world.application.__aenter__()


async def test_a_token_is_shown_once_and_described_without_its_secret(world: World) -> None:
    made = await world.make({"role": "viewer", "host": "a"}, name="nightly")
    await made.client.get("/hosts")

    infos = (await world.admin.get("/tokens")).json()

    [info] = [info for info in infos if info["id"] == made.id]
    assert info["name"] == "nightly"
    assert info["grants"] == [{"role": "viewer", "host": "a"}]
    assert info["created_by"].startswith("token admin@")
    assert info["last_used_at"] is not None
    assert made.token.split("_", 2)[2] not in json.dumps(infos)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "", "grants": []}, "name"),
        ({"name": "x\n", "grants": []}, "name"),
        ({"name": "x", "grants": [{}]}, "grants[0]"),
        ({"name": "x", "grants": [{"role": "viewer", "vm": WEB}]}, "grants[0].host"),
        ({"name": "x", "grants": [{"rights": ["power"], "host": "a"}]}, "grants[0].rights"),
        ({"name": "x", "grants": [{"role": "king"}]}, "grants[0].role"),
        ({"name": "x", "grants": [], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ],
)
async def test_what_can_never_work_is_refused_with_its_field(world: World, body: Any, field: str) -> None:
    answer = await world.admin.post("/tokens", json=body)

    assert answer.status_code == 422
    assert [place["field"] for place in answer.json()["fields"]] == [field]


async def test_nobody_gives_or_takes_what_they_do_not_have(world: World) -> None:
    clerk = await world.make({"role": "viewer"}, {"rights": ["access"]})
    strong = await world.make({"role": "operator"})

    raised = await clerk.client.post("/tokens", json={"name": "x", "grants": [{"role": "operator"}]})
    lowered = await clerk.client.patch(f"/tokens/{strong.id}", json={"grants": [{"role": "viewer"}]})
    removed = await clerk.client.delete(f"/tokens/{strong.id}")
    equal = await clerk.client.post("/tokens", json={"name": "x", "grants": [{"role": "viewer", "host": "a"}]})

    assert [raised.status_code, lowered.status_code, removed.status_code] == [403, 403, 403]
    assert equal.status_code == 201


async def test_lists_hold_what_one_may_read(world: World) -> None:
    host = await world.make({"role": "viewer", "host": "a"})
    vm = await world.make({"role": "operator", "host": "a", "vm": WEB})

    assert [row["id"] for row in (await host.client.get("/hosts")).json()] == ["a"]
    assert (await vm.client.get("/hosts")).json() == []
    assert [row["name"] for row in (await host.client.get("/hosts/a/vms")).json()] == ["web", "db"]
    assert [row["name"] for row in (await vm.client.get("/hosts/a/vms")).json()] == ["web"]
    assert [row["name"] for row in (await vm.client.get("/hosts/a/vms/db")).json()] == ["web"]
    health = (await vm.client.get("/health")).json()
    assert (health["ok"], health["hosts"], health["plugins"]) == (True, {}, {})


async def test_the_list_of_actions_holds_what_one_may_do(world: World) -> None:
    viewer = await world.make({"role": "viewer"})
    operator = await world.make({"role": "operator", "host": "a", "vm": WEB})

    assert (await viewer.client.get("/hosts/a/vms/web/actions")).json() == []
    assert "forcereset" in {action["name"] for action in (await operator.client.get("/hosts/a/vms/web/actions")).json()}


async def test_a_vm_that_may_not_be_read_looks_like_one_that_is_not_there(world: World) -> None:
    vm = await world.make({"role": "operator", "host": "a", "vm": WEB})

    hidden = (await vm.client.get("/hosts/a/vms/db/stats")).json()
    missing = (await vm.client.get("/hosts/a/vms/no/stats")).json()
    other = (await vm.client.get("/hosts/b/vms/web/stats")).json()
    nowhere = (await vm.client.get("/hosts/n/vms/web/stats")).json()

    assert hidden["detail"].replace("'db'", "'no'") == missing["detail"]
    assert other["detail"].replace("'b'", "'n'") == nowhere["detail"]
    assert {hidden["code"], missing["code"]} == {"vm-not-found"}


async def test_a_grant_on_a_vm_follows_its_uuid_not_its_name(world: World) -> None:
    vm = await world.make({"role": "operator", "host": "a", "vm": WEB})
    world.a.change(WEB, name="old-web")
    world.a.change(DB, name="web")
    await asyncio.sleep(0)  # the events arrive

    assert (await vm.client.get("/hosts/a/vms/web/stats")).status_code == 404
    assert (await vm.client.get("/hosts/a/vms/old-web/stats")).status_code == 200


async def test_an_expired_token_is_not_valid_and_what_lives_by_it_ends(world: World, ws: str) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=0.6)).isoformat()
    made = await world.make({"role": "operator"}, expires_at=soon)
    async with connect(f"{ws}/ws", additional_headers=bearing(made.token)) as socket:
        assert await asyncio.wait_for(end_of(socket), 2.0) == REFUSED

    assert (await made.client.get("/hosts")).status_code == 401


@pytest.mark.parametrize("way", ["revoked", "changed"])
async def test_consoles_and_sockets_end_when_the_right_is_withdrawn(world: World, ws: str, way: str) -> None:
    made = await world.make({"role": "operator"})
    async with (
        connect(f"{ws}/api/v1/hosts/a/vms/web/plain", additional_headers=bearing(made.token)) as console,
        connect(f"{ws}/ws", additional_headers=bearing(made.token)) as socket,
        connect(f"{ws}/api/v1/hosts/a/vms/web/plain", additional_headers=bearing(world.token)) as others,
    ):
        if way == "revoked":
            await world.admin.delete(f"/tokens/{made.id}")
        else:
            await world.admin.patch(f"/tokens/{made.id}", json={"grants": [{"role": "viewer"}]})
        assert await within_a_second(end_of(console)) == REFUSED
        assert await within_a_second(end_of(socket)) == REFUSED
        await others.send(b"x")

    assert (await made.client.get("/me")).status_code == (401 if way == "revoked" else 200)


async def test_consoles_and_sockets_of_a_browser_end_when_it_signs_out(world: World, ws: str) -> None:
    secret = (await world.admin.post("/session/links")).json()["path"].partition("#")[2]
    cookie = (await world.client(None).post("/session", json={"link": secret})).headers["set-cookie"].split(";")[0]
    page = {"Cookie": cookie, "Origin": ws.replace("ws://", "http://")}
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{ws}/ws", additional_headers={"Cookie": cookie})
    assert refused.value.response.status_code == 403
    async with (
        connect(f"{ws}/api/v1/hosts/a/vms/web/plain", additional_headers=page) as console,
        connect(f"{ws}/ws", additional_headers=page) as socket,
    ):
        out = await world.client(None).delete("/session", headers={"Cookie": cookie, "Origin": "http://localhost"})

        assert out.status_code == 204
        assert await within_a_second(end_of(console)) == REFUSED
        assert await within_a_second(end_of(socket)) == REFUSED


async def test_a_browser_opens_a_console_with_a_ticket_alone(world: World, ws: str) -> None:
    made = await world.make({"role": "operator", "host": "a", "vm": WEB})
    path = (await made.client.post("/hosts/a/vms/web/consoles", json={"kind": "plain"})).json()["path"]

    async with connect(f"{ws}{path}"):
        [session] = (await made.client.get("/consoles")).json()
        assert session["caller"] == f"token someone ({made.id})"
        assert (await refusal(f"{ws}{path}"))[0] in {401, 403}

    stranger = f"{ws}/api/v1/hosts/a/vms/web/plain"
    assert await refusal(stranger) == (401, "unauthenticated")
    assert await refusal(f"{stranger}?ticket=nonsense") == (401, "unauthenticated")


async def test_a_ticket_ends_with_the_rights_of_who_got_it(world: World, ws: str) -> None:
    made = await world.make({"role": "operator"})
    path = (await made.client.post("/hosts/a/vms/web/consoles", json={"kind": "plain"})).json()["path"]
    await world.admin.patch(f"/tokens/{made.id}", json={"grants": [{"role": "viewer"}]})

    assert await refusal(f"{ws}{path}") == (403, "forbidden")


async def test_who_may_only_look_gets_tickets_to_look(world: World, ws: str) -> None:
    made = await world.make({"rights": ["read", "console-view"]})
    ask = {"kind": "plain"}

    typing = await made.client.post("/hosts/a/vms/web/consoles", json=ask)
    looking = await made.client.post("/hosts/a/vms/web/consoles", json=ask | {"view_only": True})

    assert (typing.status_code, looking.status_code) == (403, 201)
    direct = f"{ws}/api/v1/hosts/a/vms/web/plain"
    assert await refusal(direct, additional_headers=bearing(made.token)) == (403, "forbidden")
    async with connect(f"{ws}{looking.json()['path']}"):
        [session] = (await made.client.get("/consoles")).json()
        assert session["view_only"] is True


async def test_sessions_of_others_are_seen_and_ended_by_who_has_the_right(world: World, ws: str) -> None:
    outsider, viewer = await world.make({"role": "viewer", "host": "b"}), await world.make({"role": "viewer"})
    owner = await world.make({"role": "operator", "host": "a", "vm": WEB})
    async with connect(f"{ws}/api/v1/hosts/a/vms/web/plain", additional_headers=bearing(owner.token)):
        [session] = (await viewer.client.get("/consoles")).json()
        assert (await outsider.client.get("/consoles")).json() == []
        path = f"/consoles/{session['id']}"
        assert [(await who.client.delete(path)).status_code for who in (outsider, viewer, owner)] == [404, 403, 204]


async def test_changes_and_counters_are_told_to_who_may_read_them(world: World, ws: str) -> None:
    mine = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    other = await world.make({"role": "viewer", "host": "b"})
    subscribe = {"type": "subscribe-vm-stats", "payload": {"hostId": "a"}}
    async with (
        connect(f"{ws}/ws", additional_headers=bearing(mine.token)) as told,
        connect(f"{ws}/ws", additional_headers=bearing(other.token)) as untold,
    ):
        for socket in (told, untold):
            for name in ("db", "web"):
                await socket.send(json.dumps(subscribe | {"payload": {"hostId": "a", "vmName": name}}))
        assert (await world.admin.post("/hosts/a/vms/web/forcereset")).status_code == 204

        seen = [json.loads(await asyncio.wait_for(told.recv(), 3)) for _ in range(8)]
        assert {message["payload"]["vmName"] for message in seen if message["type"] == "vm-stats-updated"} == {"web"}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(untold.recv(), 0.5)


async def test_acts_are_on_record_in_the_name_of_the_token(world: World) -> None:
    made = await world.make({"role": "operator"}, name="night shift")
    await made.client.post("/hosts/a/vms/web/forcereset")

    actors = [record.actor async for record in world.application.services.audit.records() if "action" in record.target]

    assert actors == [f"token night shift ({made.id})"] * 2


async def test_the_last_use_is_kept_over_a_restart(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        made = await world.make({"role": "viewer"})
        await made.client.get("/me")
    async with World(tmp_path) as world:
        assert (await world.admin.get(f"/tokens/{made.id}")).json()["last_used_at"] is not None


async def test_without_accounts_everybody_may_do_everything(tmp_path: Path) -> None:
    os.close(os.open(tmp_path / "admin-token", os.O_CREAT))
    async with World(tmp_path, **{"server.auth": "off"}) as world:
        answer = await world.client(None).get("/me")

        assert answer.json() == {"actor": "anonymous", "grants": [{"role": "admin"}], "expires_at": None}
        assert (await world.client(None).get("/hosts")).json() != []
        planted = await world.client(None).post("/tokens", json={"name": "x", "grants": [{"role": "admin"}]})
        assert (planted.status_code, planted.json()["code"]) == (409, "conflict")


async def test_a_right_withdrawn_by_another_process_is_gone_within_a_second(tmp_path: Path) -> None:
    async with Database(f"sqlite://{tmp_path}/v.db") as database:
        callers = callers_of(database)
        here, there = callers_of(database).tokens, callers.tokens
        admin = Principal("admin", EVERYTHING)
        async with AuthMaintenance(callers, tmp_path / "admin-token", audit_of(database), shared=True):
            await here.load()
            made = await here.create("x", (Grant(role="viewer"),), None, admin)
            changed = asyncio.Event()
            await there.load()
            assert there.authenticate(made.token).access.everywhere("read")
            there.on_change(changed.set)
            await here.change(made.info.id, (Grant(role="viewer", host="a"),), admin)
            async with asyncio.timeout(1.0):
                while there.authenticate(made.token).access.everywhere("read"):
                    changed.clear()
                    await changed.wait()
