"""What is made with a token ends no later than the token, and rights that nobody knows are not granted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.http.access_kit import World, callers_of
from virtumancer.config import load_config
from virtumancer.errors import Unauthenticated
from virtumancer.services.auth import EVERYTHING, Grant, GroupGrants, Principal
from virtumancer.store import Database

VIEWER = [{"role": "viewer"}]
CLERK = ({"role": "viewer"}, {"rights": ["access"]})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


def in_hours(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


async def make_child(caller: Any, **more: Any) -> Any:
    return await caller.post("/tokens", json={"name": "child", "grants": VIEWER, **more})


async def test_a_token_made_with_one_that_expires_expires_with_it(world: World) -> None:
    parent = await world.make(*CLERK, expires_at=in_hours(1))

    child = (await make_child(parent.client)).json()["info"]

    assert child["expires_at"] == (await world.admin.get(f"/tokens/{parent.id}")).json()["expires_at"]
    assert child["parent"] == parent.id


async def test_an_end_after_that_of_the_own_token_is_refused_and_an_earlier_one_taken(world: World) -> None:
    parent = await world.make(*CLERK, expires_at=in_hours(2))

    refused = await make_child(parent.client, expires_at=in_hours(3))
    taken = await make_child(parent.client, expires_at=in_hours(1))

    assert (refused.status_code, [place["field"] for place in refused.json()["fields"]]) == (422, ["expires_at"])
    assert taken.status_code == 201


async def test_a_browser_signed_in_by_a_link_makes_tokens_that_end_with_the_token_of_the_link(world: World) -> None:
    parent = await world.make(*CLERK, expires_at=in_hours(1))
    link = (await parent.client.post("/session/links")).json()["path"].partition("#")[2]
    browser = world.client(None)
    browser.headers["Origin"] = "http://localhost"
    signed_in = await browser.post("/session", json={"link": link})
    browser.headers["Cookie"] = signed_in.headers["Set-Cookie"].partition(";")[0]

    child = (await make_child(browser)).json()["info"]

    assert child["parent"] == parent.id
    assert child["expires_at"] == (await world.admin.get(f"/tokens/{parent.id}")).json()["expires_at"]


async def test_a_withdrawn_token_takes_along_all_that_were_made_with_it(world: World) -> None:
    parent = await world.make(*CLERK)
    child = (await parent.client.post("/tokens", json={"name": "child", "grants": CLERK})).json()
    grandchild = (await make_child(world.client(child["token"]))).json()

    await world.admin.delete(f"/tokens/{parent.id}")

    answers = [await world.client(made["token"]).get("/me") for made in (child, grandchild)]
    assert [answer.status_code for answer in answers] == [401, 401]
    left = [info["id"] for info in (await world.admin.get("/tokens")).json()]
    assert not {parent.id, child["info"]["id"], grandchild["info"]["id"]} & set(left)


async def test_a_new_token_of_the_administrator_keeps_those_made_with_the_old_one(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        made = await world.make(*VIEWER)
        (tmp_path / "admin-token").unlink()
    async with World(tmp_path) as world:
        assert (await world.client(made.token).get("/me")).status_code == 200
        infos = (await world.admin.get("/tokens")).json()

    [admin] = [info for info in infos if info["name"].startswith("admin@")]
    assert [info["parent"] for info in infos if info["id"] == made.id] == [admin["id"]]


async def test_no_token_is_made_with_one_that_another_process_has_just_withdrawn(tmp_path: Path) -> None:
    async with Database(f"sqlite://{tmp_path}/v.db") as database:
        here, there = callers_of(database).tokens, callers_of(database).tokens
        admin = Principal("admin", EVERYTHING)
        parent = await here.create("x", (Grant(role="admin"),), None, admin)
        await there.load()
        caller = there.authenticate(parent.token)
        await here.revoke(parent.info.id, admin)

        with pytest.raises(Unauthenticated, match="withdrawn"):
            await there.create("child", (Grant(role="viewer"),), None, caller)


@pytest.mark.parametrize(
    ("right", "hint"), [("consoel", "did you mean 'console'?"), ("snapshotz", "there are: access, audit, console")]
)
@pytest.mark.parametrize("path", ["/tokens", "/users"])
async def test_a_misspelt_right_is_refused(world: World, path: str, right: str, hint: str) -> None:
    body = {"name": "bob", "grants": [{"role": "viewer", "rights": [right]}]}
    body |= {"password": "correct horse battery"} if path == "/users" else {}

    answer = await world.admin.post(path, json=body)

    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "grants[0].rights")
    assert hint in answer.json()["detail"]


async def test_rights_of_plugins_can_be_granted_and_kept_while_the_plugin_is_away(tmp_path: Path) -> None:
    grants = [{"role": "viewer", "rights": ["count"]}]
    async with World(tmp_path) as world:
        made = await world.make(*grants)
    async with Database(f"sqlite://{tmp_path}/v.db") as database:
        tokens = callers_of(database).tokens
        await tokens.load()
        kept = (Grant(role="viewer", rights=("count",)),)

        changed = await tokens.change(made.id, kept, Principal("admin", EVERYTHING))

    assert changed.grants == kept


def test_a_misspelt_right_of_the_configuration_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('[access.groups]\nops = [{rights = ["read", "powr"]}]\n')
    groups = load_config(file, {"HOME": str(tmp_path)}, {}).access.groups

    complaints = list(GroupGrants("access.groups", groups).misspelt({"read", "power"}))

    assert complaints == ["access.groups.ops: there is no right 'powr'; did you mean 'power'?"]
