"""Two servers on one PostgreSQL database: what one does to a host, the other knows of within a second."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.bench.plugin_packages import install
from tests.e2e.manager import Manager
from tests.lab import wait_until
from tests.lab.postgres import PrivatePostgres

pytestmark = pytest.mark.lab

# A second is promised; a machine that others load too may take longer.
PATIENCE = 4.0
NODE = """<node><domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory>8192</memory><os><type>hvm</type></os>
</domain></node>"""
HOLDING = """
import asyncio
from pathlib import Path

from virtumancer import hookimpl
from virtumancer.contracts import NoParams, VMAction, VMUse

GATE = Path(__file__).with_name("gate")


async def hold(context, vm, params):
    while not GATE.exists():
        await asyncio.sleep(0.02)


@hookimpl
def virtumancer_vm_actions():
    use = VMUse.ALONE
    return [VMAction(name="hold", title="Hold", description="Hold.", run=hold, use=use, timeout=120.0, long=True)]
"""
WEB = "aaaaaaaa-1111-4111-8111-111111111111"


class Replica(Manager):
    """A server on a database that others use too."""

    def __init__(self, folder: Path, database: str, config: str = "", **more: Any) -> None:
        super().__init__(folder, config, **more)
        self.address = database

    def command(self, *flags: str) -> list[str]:
        return [self.address if word.startswith("sqlite:") else word for word in super().command(*flags)]


@pytest.fixture
def replicas(tmp_path: Path, postgres: PrivatePostgres) -> Iterator[tuple[Replica, Replica]]:
    name = f"replicas_{uuid4().hex}"
    postgres.create_database(name)
    address = f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/{name}"
    try:
        with Replica(tmp_path / "a", address) as a, Replica(tmp_path / "b", address) as b:
            yield a, b
    finally:
        postgres.drop_database(name)


@pytest.fixture
def holding(tmp_path: Path, postgres: PrivatePostgres) -> Iterator[tuple[Replica, Replica, Path]]:
    """Two servers with a plugin that has a VM alone until its gate, a file, is there."""
    name = f"replicas_{uuid4().hex}"
    postgres.create_database(name)
    address = f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/{name}"
    env = install(tmp_path / "packages", {"holding": HOLDING})
    (gate,) = [file.with_name("gate") for file in (tmp_path / "packages").rglob("*.py")]
    try:
        with Replica(tmp_path / "a", address, env=env) as a, Replica(tmp_path / "b", address, env=env) as b:
            yield a, b, gate
    finally:
        gate.touch()
        postgres.drop_database(name)


def node(folder: Path, name: str) -> str:
    """The URI of a host of libvirt's test driver with one VM."""
    file = folder / f"{name}.xml"
    file.write_text(NODE.format(name=name, uuid=WEB))
    return f"test://{file}"


def state(replica: Replica, host: str) -> str:
    answer = replica.get(f"/hosts/{host}")
    return str(answer.json()["state"]) if answer.status_code == 200 else answer.json()["code"]


def soon(replica: Replica, host: str, wanted: str) -> None:
    """Wait until a host has this state here; the polling of it costs less than the promise."""
    began = time.monotonic()
    wait_until(lambda: state(replica, host) == wanted, f"{host} is {wanted} at the other one", PATIENCE, pause=0.02)
    took = time.monotonic() - began
    print(f"{host} is {wanted} after {took:.2f} s")


def test_a_host_that_is_added_disconnected_or_removed_is_so_at_the_other_server_too(
    replicas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    a, b = replicas
    uri = node(tmp_path, "web")
    for one, other in ((a, b), (b, a)):
        assert one.post("/hosts", {"id": "kvm1", "uri": uri}).status_code == 201
        soon(other, "kvm1", "connected")
        assert other.post("/hosts/kvm1/vms/web/start").status_code in {204, 409}
        assert other.post("/hosts", {"id": "kvm1", "uri": uri}).json()["code"] == "host-exists"

        assert one.post("/hosts/kvm1/disconnect").status_code == 200
        soon(other, "kvm1", "stopped")
        assert other.post("/hosts/kvm1/connect").status_code == 200
        soon(one, "kvm1", "connected")

        assert one.delete("/hosts/kvm1").status_code == 204
        soon(other, "kvm1", "host-not-found")
        assert other.delete("/hosts/kvm1").status_code == 404

    kinds = [event["type"] for event in _events(b) if event["host"] == "kvm1"]
    assert (kinds.count("host.added"), kinds.count("host.removed")) == (2, 2)
    for event in _events(b):
        assert event["type"] != "gap" or "server was not running" not in str(event["data"]), event


def test_a_host_that_was_removed_elsewhere_is_refused_at_once(
    replicas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    a, b = replicas
    uri = node(tmp_path, "web")
    for turn in range(5):
        assert a.post("/hosts", {"id": "kvm1", "uri": uri}).status_code == 201
        soon(b, "kvm1", "connected")
        assert a.delete("/hosts/kvm1").status_code == 204
        asked = b.post("/hosts/kvm1/vms/web/forceoff") if turn % 2 else _in_bulk(b)
        assert asked.status_code in {404, 200}, asked.text
        assert "host-not-found" in asked.text


def test_another_uri_and_another_host_of_the_same_name_are_taken_over(
    replicas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    a, b = replicas
    a.post("/hosts", {"id": "kvm1", "uri": node(tmp_path, "web")})
    soon(b, "kvm1", "connected")

    a.delete("/hosts/kvm1")
    assert a.post("/hosts", {"id": "kvm1", "uri": node(tmp_path, "other")}).status_code == 201

    wait_until(lambda: _names(b) == ["other"], "the other host is there", PATIENCE, pause=0.02)

    a.configure(f'[[hosts]]\nid = "kvm1"\nuri = "{node(tmp_path, "third")}"\n')
    a.restart()
    wait_until(lambda: _names(b) == ["third"], "the changed host is there", PATIENCE, pause=0.02)


def test_a_server_that_is_killed_in_the_middle_leaves_the_other_with_what_is_stored(
    replicas: tuple[Replica, Replica], tmp_path: Path
) -> None:
    a, b = replicas
    uri = node(tmp_path, "web")
    for number in range(4):
        assert a.post("/hosts", {"id": f"kvm{number}", "uri": uri}).status_code == 201
    a.delete("/hosts/kvm0")
    a.kill()

    soon(b, "kvm0", "host-not-found")
    for number in range(1, 4):
        soon(b, f"kvm{number}", "connected")
    a.start()
    assert [host["id"] for host in a.get("/hosts").json()] == ["kvm1", "kvm2", "kvm3"]


def test_a_vm_that_one_server_works_on_is_busy_at_the_other_until_it_has_ended(
    holding: tuple[Replica, Replica, Path], tmp_path: Path
) -> None:
    a, b, gate = holding
    assert a.post("/hosts", {"id": "kvm1", "uri": node(tmp_path, "web")}).status_code == 201
    soon(b, "kvm1", "connected")
    begun = a.client.post("/hosts/kvm1/vms/web/hold", headers={"Prefer": "respond-async"})
    assert begun.status_code == 202, begun.text
    wait_until(lambda: _operation(a, begun)["state"] == "running", "it runs", 20, pause=0.02)

    for server, action in ((b, "reboot"), (b, "hold"), (a, "reboot")):
        refused = server.post(f"/hosts/kvm1/vms/web/{action}")
        assert (refused.status_code, refused.json()["code"]) == (409, "busy"), refused.text
        assert refused.json()["operation"] == begun.json()["id"]
    assert b.get("/hosts/kvm1/vms/web").status_code == 200  # who only looks is not held up

    gate.touch()
    wait_until(lambda: _operation(b, begun)["ended_at"] is not None, "it has ended", 20, pause=0.02)
    assert b.post("/hosts/kvm1/vms/web/reboot").status_code == 204


def _operation(replica: Replica, begun: httpx2.Response) -> dict[str, Any]:
    operation: dict[str, Any] = replica.get(f"/operations/{begun.json()['id']}").json()
    return operation


def _names(replica: Replica) -> list[str]:
    answer = replica.get("/hosts/kvm1/vms")
    return [vm["name"] for vm in answer.json()] if answer.status_code == 200 else []


def _events(replica: Replica) -> list[dict[str, Any]]:
    answer = replica.get("/events", params={"limit": 500}, headers={"Accept": "application/json"})
    events: list[dict[str, Any]] = answer.json()["items"]
    return events


def _in_bulk(replica: Replica) -> httpx2.Response:
    body = {"action": "forceoff", "selector": {"hosts": ["kvm1"]}}
    operation = replica.post("/vms/actions", body).json()
    return replica.get(f"/operations/{operation['id']}", params={"wait": 10})
