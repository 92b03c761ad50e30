"""The server of an environment with all examples in it, and a plugin that gives it a hypervisor in memory."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

# Its hosts are `fake://kvm1`, with two VMs that have a monitor.
HELPER = """
from virtumancer.contracts import ConsoleOffer, VMState
from virtumancer.testing import FakeHypervisor, fake_plugin

KVM1 = FakeHypervisor("kvm1")
for vm in (KVM1.define("web01", VMState.RUNNING), KVM1.define("db01")):
    KVM1.consoles[vm.uuid] = (ConsoleOffer("monitor", available=True),)
virtumancer_host_drivers = fake_plugin(KVM1).virtumancer_host_drivers
"""


class API:
    """Calls the server; `url` is that of its API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Make a request; returns status and document, the latter as text when it is no JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urlopen(request, timeout=30) as answer:
                return answer.status, _document(answer.read())
        except HTTPError as error:
            return error.code, _document(error.read())


def _document(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except (json.JSONDecodeError, UnicodeDecodeError):
        return content


def helper(folder: Path) -> Path:
    """Write the plugin `fake` as if it were installed; with its folder on the path of Python it is."""
    place = folder / "helper"
    info = place / "examples_helper-1.dist-info"
    info.mkdir(parents=True)
    (place / "examples_helper.py").write_text(HELPER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: examples-helper\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[virtumancer.plugins]\nfake = examples_helper\n")
    return place


@contextmanager
def serving(bin_folder: Path, folder: Path, config: str, **environment: str) -> Iterator[API]:
    """Run the server of an environment on a port and a database of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "virtumancer.toml").write_text(config)
    command = [bin_folder / "virtumancer", "serve", "--port", str(port), "--auth", "off"]
    command += ["--database", f"sqlite://{folder}/v.db"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(helper(folder)), **environment},
            stdout=log,
            stderr=log,
        )
        api = API(f"http://127.0.0.1:{port}/api/v1")
        try:
            _wait_for(api, process, folder / "log")
            yield api
        finally:
            _end(process, folder / "log")
    assert "Traceback" not in (folder / "log").read_text()


def _end(process: subprocess.Popen[bytes], log: Path) -> None:
    process.terminate()
    try:
        status = process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"it did not end: {log.read_text()}") from None
    assert status == 0, log.read_text()


def _wait_for(api: API, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        try:
            api.call("GET", "/health")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())
