"""`virtumancer tokens`, `users` and `me`, against an application that asks who calls."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.forks import Forks
from tests.http.access_kit import WEB, World
from tests.http.cli.program import Program


class Served(NamedTuple):
    world: World
    admin: Program

    def program(self, token: str) -> Program:
        return self.admin.with_more(VIRTUMANCER_TOKEN=token)


@pytest.fixture
async def served(tmp_path: Path, forks: Forks) -> AsyncIterator[Served]:
    async with World(tmp_path) as world, world.served() as address:
        url = address.replace("ws", "http", 1)
        yield Served(world, Program(tmp_path, {"VIRTUMANCER_URL": url, "VIRTUMANCER_TOKEN": world.token}, forks))


async def test_it_says_who_one_is(served: Served) -> None:
    shown = (await served.admin.run("me")).out
    assert "token admin@" in shown
    assert "admin on everything" in shown
    assert (await served.admin.run("me", "--json")).json["grants"] == [{"role": "admin"}]


@pytest.mark.parametrize(
    ("flags", "may"),
    [
        (("--role", "viewer"), "viewer on everything"),
        (("--role", "operator", "--on-host", "a"), "operator on host a"),
        (
            ("--right", "read", "--right", "power", "--on-host", "a", "--on-vm", WEB),
            f"read, power on VM {WEB} of host a",
        ),
        (("--role", "viewer", "--on-tag", "prod"), "viewer on what has the tag prod"),
        (("--role", "viewer", "--on-tag", "prod", "--on-host", "a"), "viewer on what has the tag prod on host a"),
    ],
)
async def test_a_token_may_what_was_said_and_is_listed_so(served: Served, flags: tuple[str, ...], may: str) -> None:
    made = await served.admin.run("tokens", "create", "for a script", *flags)
    assert made.code == 0, made.err

    assert (await served.program(made.out.strip()).run("me")).out.splitlines()[1].endswith(may)
    (listed,) = [line for line in (await served.admin.run("tokens", "list")).out.splitlines() if "for a script" in line]
    assert may in listed


async def test_a_token_by_tag_shows_what_has_it(served: Served) -> None:
    tagged = await served.world.admin.patch("/hosts/a/vms/web/metadata", json={"tags": ["prod"]})
    assert tagged.status_code == 200
    token = (await served.admin.run("tokens", "create", "x", "--role", "viewer", "--on-tag", "prod")).out.strip()

    seen = (await served.program(token).run("vms", "list", "--json")).json

    assert [vm["name"] for vm in seen] == ["web"]


async def test_a_token_that_is_removed_opens_nothing(served: Served) -> None:
    made = (await served.admin.run("tokens", "create", "x", "--role", "viewer", "--json")).json

    assert "withdrawn" in (await served.admin.run("tokens", "remove", made["info"]["id"])).out

    refused = await served.program(made["token"]).run("me")
    assert refused.code != 0
    assert "not valid" in refused.err


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ((), "name a role"),
        (("--role", "viewer", "--on-vm", WEB), "names its host too"),
        (("--role", "viewer", "--on-tag", "No Tag"), "is no tag"),
        (("--role", "king"), "role"),
    ],
)
async def test_a_grant_that_cannot_be_is_refused_with_the_cure(
    served: Served, flags: tuple[str, ...], complaint: str
) -> None:
    refused = await served.admin.run("tokens", "create", "x", *flags)
    assert refused.code != 0
    assert complaint in refused.err
    assert (await served.world.admin.get("/tokens")).json()[1:] == []


async def test_a_user_is_made_with_a_password_from_a_pipe_listed_and_removed(served: Served) -> None:
    password = b"correct horse battery\n"
    made = await served.admin.run("users", "create", "alice", "--role", "operator", "--on-host", "a", typed=password)
    assert made.code == 0, made.err

    listed = (await served.admin.run("users", "list")).out
    assert "alice" in listed
    assert "operator on host a" in listed
    credentials = {"user": "alice", "password": password.decode().strip()}
    browser = served.world.client(None)
    signed_in = await browser.post("/session", json=credentials)
    assert signed_in.status_code == 200, signed_in.text
    assert "alice" not in (await served.admin.run("users", "remove", "alice")).err
    assert "alice" not in (await served.admin.run("users", "list")).out
