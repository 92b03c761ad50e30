"""Networks and their leases over HTTP, of libvirt's test driver and of a real daemon."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.requirements import requires
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin

NETWORK = "<network><name>{name}</name><bridge name='{bridge}'/><ip address='192.168.77.1' prefix='24'/></network>"


@asynccontextmanager
async def served(tmp_path: Path, uri: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A server with that host as `a`."""
    settings = {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"}
    config = load_config(None, {"HOME": str(tmp_path)}, settings)
    plugins = load_plugins(
        extra={"fake": fake_plugin(FakeHypervisor("other"))}, tables={"libvirt": {"local_files": True}}
    )
    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            assert (await client.post("/hosts", json={"id": "a", "uri": uri})).status_code == 201
            yield client


async def test_networks_are_listed_and_got_through_the_door(tmp_path: Path) -> None:
    async with served(tmp_path, "test:///default") as client:
        (network,) = (await client.get("/hosts/a/networks")).json()
        assert (network["name"], network["active"], network["persistent"], network["autostart"]) == (
            "default",
            True,
            True,
            False,
        )
        assert (await client.get("/hosts/a/networks/default")).json() == network
        assert (await client.get("/hosts/a/networks/none")).json()["code"] == "resource-not-found"
        assert {"networks", "network-leases"} <= set((await client.get("/hosts/a")).json()["abilities"])
        assert (await client.delete("/hosts/a/networks/default")).status_code == 405


async def test_a_hypervisor_that_knows_no_leases_is_named_as_libvirt_does(tmp_path: Path) -> None:
    async with served(tmp_path, "test:///default") as client:
        answer = await client.get("/hosts/a/networks/default/leases")
        assert (answer.status_code, answer.json()["code"]) == (501, "ability-missing"), answer.text
        assert "Host a cannot list the leases of default: this function is not supported" in answer.json()["detail"]
        assert (await client.get("/hosts/a/networks/zzz/leases")).status_code == 404


async def test_a_host_of_another_driver_has_none(tmp_path: Path) -> None:
    async with served(tmp_path, FakeHypervisor("other").uri) as client:
        answer = await client.get("/hosts/a/networks")
        assert (answer.status_code, answer.json()["ability"]) == (501, "networks"), answer.text


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    requires("libvirtd", "virsh", "unshare", "nsenter")
    with PrivateLibvirtd(tmp_path_factory.mktemp("networks")) as daemon:
        yield daemon


def lease(mac: str, address: str, until: int, **more: object) -> dict[str, object]:
    """What libvirt's helper of dnsmasq writes."""
    return {"ip-address": address, "mac-address": mac, "expiry-time": until, **more}


@pytest.mark.lab
async def test_leases_are_those_that_libvirt_has_on_record(daemon: PrivateLibvirtd, tmp_path: Path) -> None:
    for name, bridge in (("lan", "vtestlan0"), ("quiet", "vtestquiet0")):
        file = tmp_path / f"{name}.xml"
        file.write_text(NETWORK.format(name=name, bridge=bridge))
        daemon.virsh("net-define", str(file))
    folder = daemon.folder / "lib" / "dnsmasq"
    folder.mkdir(parents=True, exist_ok=True)
    far = 4_000_000_000
    (folder / "vtestlan0.status").write_text(
        json.dumps(
            [
                lease("52:54:00:aa:bb:03", "192.168.77.45", far, hostname="web01", **{"client-id": "01:52"}),
                lease("52:54:00:aa:bb:04", "192.168.77.46", far),
                lease("52:54:00:aa:bb:05", "192.168.77.47", 1_000_000_000),
            ]
        )
    )
    async with served(tmp_path, daemon.uri) as client:
        networks = (await client.get("/hosts/a/networks")).json()
        assert [(one["name"], one["active"]) for one in networks] == [("lan", False), ("quiet", False)]
        until = {"expires_at": "2096-10-02T07:06:40Z", "prefix": 24}
        assert (await client.get("/hosts/a/networks/lan/leases")).json() == [
            {"mac": "52:54:00:aa:bb:03", "hostname": "web01", "addresses": [{"address": "192.168.77.45", **until}]},
            {"mac": "52:54:00:aa:bb:04", "hostname": "", "addresses": [{"address": "192.168.77.46", **until}]},
        ]
        one = (await client.get("/hosts/a/networks/lan/leases/52:54:00:AA:BB:03")).json()
        assert one["hostname"] == "web01"
        assert (await client.get("/hosts/a/networks/lan/leases/52:54:00:aa:bb:05")).status_code == 404
        assert (await client.get("/hosts/a/networks/quiet/leases")).json() == []
        assert (await client.get("/hosts/a/networks/none/leases")).status_code == 404
