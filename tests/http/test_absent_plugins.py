"""The places of plugins that are not there, and what a build of somebody else's is called."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.http.access_kit import World
from virtumancer import own_build
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts.responses import Build
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin

BARE = ["libvirt", "power", "serial", "spice", "vnc"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@pytest.fixture
async def bare(tmp_path: Path, kvm1: FakeHypervisor) -> AsyncIterator[httpx2.AsyncClient]:
    flags = {"database.url": f"sqlite://{tmp_path}/virtumancer.db", "server.auth": "off"}
    config = load_config(None, {"HOME": str(tmp_path)}, flags)
    async with create_app(config, load_plugins(BARE, {"fake": fake_plugin(kvm1)})) as app:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
            yield client


@pytest.mark.parametrize("name", ["spice", "vnc", "serial", "start", "snapshots", "no-such-thing"])
@pytest.mark.parametrize("parent", ["/hosts/a/vms/web", "/hosts/a"])
async def test_what_an_absent_plugin_would_answer_is_not_found(
    bare: httpx2.AsyncClient, parent: str, name: str
) -> None:
    for method in METHODS:
        answer = await bare.request(method, f"{parent}/{name}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json"), method


async def test_another_method_of_what_is_there_is_405_and_a_browser_may_ask_beforehand(
    client: httpx2.AsyncClient,
) -> None:
    wrong = await client.get("/hosts/a/vms/web/start")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST, OPTIONS")
    assert (await client.options("/hosts/a/vms/web/no-such-thing")).status_code == 200


async def test_a_stranger_is_asked_who_they_are_before_they_are_told_what_is_not_there(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        stranger = await world.client(None).get("/hosts/a/vms/web/no-such-thing")
        known = await world.admin.get("/hosts/a/vms/web/no-such-thing")
    assert (stranger.status_code, known.status_code) == (401, 404)


async def test_a_build_says_its_name_where_the_version_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kvm1: FakeHypervisor
) -> None:
    file = tmp_path / "build.toml"
    file.write_text('name = "Acme"\nversion = "7"\n')
    assert own_build.read_build(file) == Build("Acme", "7")
    named = own_build.read_build(file)
    monkeypatch.setattr("virtumancer.http.resources.health.own_build", lambda: named)
    monkeypatch.setattr("virtumancer.http.openapi.document.own_build", lambda: named)
    flags = {"database.url": f"sqlite://{tmp_path}/virtumancer.db", "server.auth": "off"}
    config = load_config(None, {"HOME": str(tmp_path)}, flags)
    async with create_app(config, load_plugins(BARE, {"fake": fake_plugin(kvm1)})) as app:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            health, document = await client.get("/health"), await client.get("/openapi.json")

    assert health.json()["build"] == {"name": "Acme", "version": "7"}
    assert document.json()["info"]["x-build"] == {"name": "Acme", "version": "7"}
    assert all("Acme" not in value for value in (*health.headers.values(), *document.headers.values()))
