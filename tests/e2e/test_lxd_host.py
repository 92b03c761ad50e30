"""A host that is not libvirt's: a real LXD over HTTPS, whose client certificate is the credential of the host."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.e2e.manager import PROGRAM, Manager
from tests.lab import wait_until
from tests.lab.requirements import skip
from virtumancer.client import Client
from virtumancer.errors import ResourceExists, ResourceNotFound

EXAMPLE = Path(__file__).parents[2] / "examples/virtumancer-lxd"

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def kit() -> ModuleType:
    """What the tests of the example start LXD with."""
    specification = importlib.util.spec_from_file_location("example_lxd", EXAMPLE / "tests/lxd.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lxd(kit: ModuleType) -> Iterator[Any]:
    if reason := kit.missing():
        skip(reason)
    with TemporaryDirectory(prefix="lxd-") as folder, kit.PrivateLXD(Path(folder)) as daemon:
        yield daemon


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for Python's path in which the example is, as if it were installed."""
    place = tmp_path / "installed"
    shutil.copytree(EXAMPLE / "virtumancer_lxd", place / "virtumancer_lxd")
    information = place / "virtumancer_lxd-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: virtumancer-lxd\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[virtumancer.plugins]\nlxd = virtumancer_lxd\n")
    return place


def test_a_host_over_https_is_managed_with_its_certificate_which_nobody_sees(
    kit: ModuleType, lxd: Any, installed: Path, tmp_path: Path
) -> None:
    ours, stranger = kit.client_certificate(), kit.client_certificate("stranger")
    address, name = lxd.listen(ours[0]), lxd.make("web01")
    answers: list[bytes] = []
    secret = [line.encode() for _, key in (ours, stranger) for line in key.splitlines() if not line.startswith("-----")]
    with Manager(tmp_path / "manager", env={"PYTHONPATH": str(installed)}) as manager:

        def ask(method: str, path: str, status: int, **body: Any) -> Any:
            answer = manager.client.request(method, path, json=body or None)
            assert answer.status_code == status, answer.text
            answers.append(f"{answer.headers}".encode() + answer.content)
            return answer.json() if answer.content else None

        credentials = {"client-cert": ours[0], "client-key": ours[1]}
        new = {"id": "lxd1", "uri": f"lxd://{address}", "credentials": credentials}
        shown = ask("POST", "/hosts", 409, **new)
        assert shown["code"] == "host-key-unknown"
        ask("POST", "/hosts", 201, **new, host_key=shown["host_key"]["fingerprint"])
        detail = ask("GET", "/hosts/lxd1", 200)
        assert (detail["state"], detail["driver"]) == ("connected", "lxd")
        assert detail["credential_names"] == ["client-cert", "client-key"]
        assert {"consoles", "events"} <= set(detail["abilities"])

        vm = f"/hosts/lxd1/vms/{name}"
        ask("POST", f"{vm}/start", 204)
        assert [row["state"] for row in ask("GET", "/hosts/lxd1/vms", 200)] == [1]
        assert ask("GET", f"{vm}/stats", 200)["memory"] > 0
        ticket = manager.client.post(f"{vm}/consoles", json={"kind": "serial"}).json()
        with connect(ticket["url"], open_timeout=10) as console:
            typed(console)

        lxd.state(name, "stop")
        wait_until(lambda: manager.get("/vms").json()["items"][0]["state"] == 5, "what was done outside is seen")

        refused = ask("PATCH", "/hosts/lxd1", 200, credentials={"client-cert": stranger[0], "client-key": stranger[1]})
        assert (refused["state"], refused["code"]) == ("refused", "authentication-failed")
        assert "lxc config trust add" in refused["reason"]
        assert ask("PATCH", "/hosts/lxd1", 200, credentials=credentials)["state"] == "connected"
        manager.restart()
        wait_until(lambda: manager.get("/hosts/lxd1").json()["state"] == "connected", "it is connected after a restart")
        for path in ("/audit", "/events", "/operations", "/plugins", "/hosts"):
            ask("GET", path, 200)
        lxd.remove(name)
    places = {
        "answers": b"\n".join(answers),
        "log": manager.log().encode(),
        "database": b"".join(path.read_bytes() for path in manager.folder.glob("virtumancer.db*")),
    }
    assert "virtumancer.db" in {path.name for path in manager.folder.iterdir()}
    assert len(secret) > 4
    assert [name for name, place in places.items() if any(line in place for line in secret)] == []


@pytest.fixture
def snapped(lxd: Any) -> Iterator[str]:
    name = lxd.make("snapped")
    yield name
    lxd.remove(name)


def test_snapshots_of_a_real_second_hypervisor_are_a_resource_as_any_other(
    kit: ModuleType, lxd: Any, snapped: str, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    package = importlib.import_module("virtumancer_lxd")
    ours = kit.client_certificate()
    address, name = lxd.listen(ours[0]), snapped
    with Manager(tmp_path / "manager", env={"PYTHONPATH": str(installed)}) as manager, Client(manager.url) as client:
        far = {"id": "far", "uri": f"lxd://{address}", "credentials": {"client-cert": ours[0], "client-key": ours[1]}}
        shown = manager.post("/hosts", far).json()
        assert manager.post("/hosts", far | {"host_key": shown["host_key"]["fingerprint"]}).status_code == 201
        assert manager.post("/hosts", {"id": "here", "uri": f"lxd://{lxd.socket}"}).status_code == 201
        assert "snapshots" in manager.get("/hosts/far").json()["abilities"]

        for host in ("here", "far"):
            items = client.of(package.SNAPSHOTS, host, name)
            made = items.create(package.NewSnapshot("grün"))
            assert made == items.get("grün")
            assert items.list() == (made,)
            with pytest.raises(ResourceExists):
                items.create(package.NewSnapshot("grün"))
            (lxd.root_of(name) / "root/later").touch()
            items.act("grün", "revert", package.Revert())
            assert not (lxd.root_of(name) / "root/later").exists()
            items.delete("grün")
            with pytest.raises(ResourceNotFound):
                items.delete("grün")

        # The way of a person, and what is left of it.
        ran = [program(manager, *line) for line in lines(name)]
        assert [status for status, _ in ran] == [0, 0, 0], ran
        [done] = manager.get("/operations?action=revert-snapshot&limit=1").json()
        assert (done["state"], done["target"]["key"]) == ("succeeded", "by-hand")
        told = {event["type"] for event in manager.get("/events?limit=500").json()["items"]}
        assert {"snapshot.created", "snapshot.changed", "snapshot.deleted"} <= told


def lines(name: str) -> Iterator[tuple[str, ...]]:
    """Name the commands that a person types."""
    place = ("--host", "here", "--vm", name)
    yield ("snapshots", "create", "by-hand", *place)
    yield ("snapshots", "revert", "by-hand", *place)
    yield ("snapshots", "delete", "by-hand", *place)


def program(manager: Manager, *words: str) -> tuple[int, str]:
    """Run the program as its user; returns its status and what it printed."""
    environment = manager.environment() | {"VIRTUMANCER_URL": manager.url}
    done = subprocess.run([PROGRAM, *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def typed(console: Any) -> None:
    """Type a command until the shell, which may be starting, has answered it."""
    seen = b""
    for _ in range(40):
        console.send(b"echo $((6 * 7)) answers\n")
        try:
            while b"42 answers" not in seen:
                seen += console.recv(timeout=0.5)
        except TimeoutError:
            continue
        return
    raise AssertionError(seen)
