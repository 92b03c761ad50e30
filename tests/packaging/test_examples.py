"""The examples as their users get them: installed beside the wheel, their own tests passed, seen over HTTP."""

import json
import os
import queue
import subprocess
import threading
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.packaging.conftest import run
from tests.packaging.examples_server import API, serving

EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = sorted(file.parent for file in EXAMPLES.glob("virtumancer-*/pyproject.toml"))
NAMES = [package.name.removeprefix("virtumancer-") for package in PACKAGES]
# The tests of the drivers start QEMU and LXD.
CASES = [
    pytest.param(package, id=name, marks=[pytest.mark.lab] if name in {"lxd", "qmp"} else [])
    for package, name in zip(PACKAGES, NAMES, strict=True)
]
UUID = "5b0f2b5e-3c0e-4a4e-9a52-3f0d7f0f6f11"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel, its extra for tests, and every example."""
    folder = tmp_path_factory.mktemp("examples")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[testing]", *PACKAGES, cwd=folder)
    return folder / "bin"


class Receiver:
    """A web server that remembers what was posted."""

    def __init__(self) -> None:
        self.posts: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.put((self.headers["Authorization"], json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Not into the output of the tests."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture(scope="module")
def runtime() -> Iterator[Path]:
    """A short path: those of sockets may not be long."""
    with TemporaryDirectory(prefix="qmp-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def api(programs: Path, receiver: Receiver, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[API]:
    folder = tmp_path_factory.mktemp("server")
    config = f"""
        [plugins.webhook]
        url = "{receiver.url}"
        token = "env:HOOK_TOKEN"
        [plugins.overcommit]
        limit = 0.25
        [plugins.qmp]
        accelerator = "tcg"
        runtime_folder = "{runtime}"
        [[hosts]]
        id = "kvm1"
        uri = "fake://kvm1"
    """
    with serving(programs, folder, config, HOOK_TOKEN="hunter2") as api:
        yield api


def test_all_examples_are_active_and_provide_something(programs: Path, tmp_path: Path) -> None:
    listed = json.loads(run(programs / "virtumancer", "plugins", "--json", cwd=tmp_path))
    found = {info["name"]: info for info in listed}

    assert len(NAMES) == 8
    for name in NAMES:
        assert (found[name]["state"], found[name]["distribution"]) == ("active", f"virtumancer-{name}"), found[name]
    assert found["stop"]["actions"] == ["stop"]
    assert found["lxd"]["drivers"] == ["lxd"]
    assert found["qmp"]["drivers"] == ["qmp"]
    assert found["overcommit"]["collectors"] == ["overcommit"]
    assert found["overcommit"]["routes"] == ["GET hosts", "GET page/…"]
    assert found["monitor"]["consoles"] == ["monitor"]
    assert found["exporter"]["mounts"] == ["GET /metrics"]
    assert found["checklists"]["resources"] == ["checklists", "remarks"]


@pytest.mark.parametrize("package", CASES)
def test_the_tests_of_an_example_pass(package: Path, programs: Path) -> None:
    done = subprocess.run(
        [programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env={"PATH": os.environ["PATH"], "HOME": str(programs.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        | {name: value for name, value in os.environ.items() if name == "CI"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_action_takes_its_parameters(api: API) -> None:
    wrong = api.call("POST", "/hosts/kvm1/vms/web01/stop", {"patience": 301})
    offered = api.call("GET", "/hosts/kvm1/vms/web01/actions")[1]
    stopped = api.call("POST", "/hosts/kvm1/vms/web01/stop", {"patience": 1})
    again = api.call("POST", "/hosts/kvm1/vms/web01/stop")

    assert (wrong[0], wrong[1]["fields"][0]["field"]) == (422, "patience")
    assert "stop" in [action["name"] for action in offered]
    assert stopped[0] == 204
    assert (again[0], again[1]["code"]) == (409, "wrong-power-state")
    assert api.call("POST", "/hosts/kvm1/vms/web01/start")[0] == 204


def test_the_collectors_samples_are_answered(api: API) -> None:
    [collected] = [one for one in api.call("GET", "/hosts/kvm1/samples")[1] if one["collector"] == "overcommit"]

    assert {sample["name"] for sample in collected["samples"]} == {
        "overcommit_cpu",
        "overcommit_memory",
        "overcommit_full",
    }


def test_the_route_and_the_page_are_there(api: API) -> None:
    status, hosts = api.call("GET", "/plugins/overcommit/hosts")
    page = api.call("GET", "/plugins/overcommit/page/")

    assert status == 200
    assert hosts[0] | {"promised_cpus": 1, "full": True} == hosts[0], "the limit of the configuration holds"
    assert b"What is promised" in page[1]


def test_the_webhook_is_told_with_the_token(api: API, receiver: Receiver) -> None:
    told = [receiver.posts.get(timeout=10)]
    while told[-1][1].get("state") != "connected":
        told.append(receiver.posts.get(timeout=10))

    assert {authorization for authorization, _ in told} == {"Bearer hunter2"}
    listed = api.call("GET", "/plugins/webhook")[1]
    assert (listed["state"], listed["listeners"]) == ("active", ["webhook"])
    assert "hunter2" not in json.dumps(listed)


def test_the_console_transport_offers_its_kind(api: API) -> None:
    [offer] = api.call("GET", "/hosts/kvm1/vms/web01/consoles")[1]

    assert (offer["kind"], offer["available"]) == ("monitor", True)
    assert offer["path"].endswith("/monitor")


def test_the_console_transport_refuses_a_line_that_is_too_long_and_says_so(api: API) -> None:
    with _console(api, "/hosts/kvm1/vms/web01", "monitor") as socket:
        socket.send(b"info " * 200)
        socket.send(b"info " * 200)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4400, "a line of the monitor has at most 1024 bytes")


def test_the_description_of_the_api_has_all_of_it(api: API) -> None:
    paths = api.call("GET", "/openapi.json")[1]["paths"]

    vm = "/api/v1/hosts/{host}/vms/{vm}"
    assert {f"{vm}/stop", f"{vm}/monitor", "/api/v1/plugins/overcommit/hosts"} <= set(paths)
    assert paths[f"{vm}/stop"]["post"]["x-plugin"] == "stop"


@pytest.mark.lab
def test_a_driver_that_is_not_libvirt_manages_real_vms(api: API, tmp_path: Path) -> None:
    (tmp_path / "web01.toml").write_text(f'name = "web01"\nuuid = "{UUID}"\nmemory_mib = 32\n')
    added = api.call("POST", "/hosts", {"id": "here", "uri": f"qmp://{tmp_path}"})
    vm = "/hosts/here/vms/web01"
    try:
        assert added == (201, {"id": "here", "uri": f"qmp://{tmp_path}"})
        assert api.call("POST", f"{vm}/start") == (204, None)
        assert [row["state"] for row in api.call("GET", "/hosts/here/vms")[1]] == [1]
        assert api.call("GET", f"{vm}/stats")[1]["memory"] == 32 * 1024
        assert api.call("GET", f"{vm}/screenshot")[1].startswith(b"\x89PNG")
        with _console(api, vm, "vnc") as screen:
            assert _read_until(screen, b"\n") == b"RFB 003.008\n"
        with _console(api, vm, "monitor") as monitor:
            _read_until(monitor, b"(qemu) ")
            monitor.send(b"info status\n")
            assert b"VM status: running" in _read_until(monitor, b"running")
        with _console(api, vm, "monitor", view_only=True) as onlooker:
            onlooker.send(b"quit\n")
            _read_until(onlooker, b"(qemu) ")
        assert [row["state"] for row in api.call("GET", "/hosts/here/vms")[1]] == [1], "an onlooker gives no commands"
    finally:
        api.call("POST", f"{vm}/forceoff")
    assert [row["state"] for row in api.call("GET", "/hosts/here/vms")[1]] == [5]


@contextmanager
def _console(api: API, vm: str, kind: str, *, view_only: bool = False) -> Iterator[ClientConnection]:
    """Open a console with a ticket, as a viewer does."""
    status, ticket = api.call("POST", f"{vm}/consoles", {"kind": kind, "view_only": view_only})
    assert status == 201, ticket
    with connect(ticket["url"], open_timeout=10) as socket:
        yield socket


def _read_until(socket: ClientConnection, end: bytes) -> bytes:
    """Return what comes, up to the message with this in it."""
    read = b""
    while end not in read:
        message = socket.recv(timeout=10)
        assert isinstance(message, bytes)
        read += message
    return read
