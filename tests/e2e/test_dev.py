"""`virtumancer dev`: a server that follows the source of a plugin, whatever is wrong with it, and leaves nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from virtumancer.development import find_target
from virtumancer.errors import UsageError
from virtumancer.scaffold import write_package
from virtumancer.testing.rich_hypervisor import rich_hypervisor

PROGRAM = Path(sys.executable).with_name("virtumancer")
PATIENCE = 60.0
GOOD = "    await context.connection.power("
ACTIVE = "Plugin nudge is active: actions nudge."
RAISING = "    raise ValueError(vm.name)\n    await context.connection.power("


class Dev:
    """The program at work on one plugin."""

    def __init__(self, folder: Path) -> None:
        self.package = write_package("nudge", "action", folder)
        self.source = self.package / "virtumancer_nudge" / "__init__.py"
        self.good = self.source.read_text()
        self.kept = folder / "tmp"
        self.kept.mkdir()
        self.log = folder / "log"
        environment = {"HOME": str(folder), "PATH": os.defpath, "TMPDIR": str(self.kept)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "dev", str(self.package)], stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def wait_for(self, text: str) -> None:
        self.until(lambda: text in self.log.read_text(), text)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"{what}: {self.log.read_text()}"
            time.sleep(0.05)

    def write(self, source: str, expected: str) -> None:
        """Change the source, and wait for what the next server says."""
        seen = self.log.read_text().count(expected)
        self.source.write_text(source)
        self.until(lambda: self.log.read_text().count(expected) > seen, expected)

    def client(self) -> httpx2.Client:
        url = re.findall(r"^Serving on (http://[^\s,]+)", self.log.read_text(), re.M)[-1]
        [token] = self.kept.glob("*/virtumancer.admin-token")
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        return httpx2.Client(base_url=f"{url}/api/v1", headers=headers, timeout=PATIENCE, trust_env=False)


@contextmanager
def dev(folder: Path) -> Iterator[Dev]:
    started = Dev(folder)
    try:
        started.wait_for("Serving on ")
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.process.send_signal(signal.SIGINT)
        try:
            started.process.wait(PATIENCE)
        finally:
            started.process.kill()


def test_the_server_follows_the_source_and_ends_without_a_trace(tmp_path: Path) -> None:
    with dev(tmp_path) as it:
        assert ACTIVE in it.log.read_text()
        it.wait_for("  export VIRTUMANCER_URL=http://127.0.0.1:")

        it.write(
            "import nosuch\n" + it.good,
            "Plugin nudge is failed (import): ModuleNotFoundError: No module named 'nosuch'",
        )
        with it.client() as client:
            reason = client.get("/plugins/nudge").json()["reason"]
        assert f"(at {it.source}:1 in <module>)" in reason

        it.write(it.good + "\ndef broken(:\n", "Plugin nudge is failed (import): SyntaxError: invalid syntax")

        it.write(it.good.replace(GOOD, RAISING), ACTIVE)
        with it.client() as client:
            it.until(lambda: client.get("/hosts/dev1").json()["state"] == "connected", "the host is connected")
            vms = client.get("/hosts/dev1/vms").json()
            answer = client.post("/hosts/dev1/vms/web01/nudge", json={})
        assert {vm["state"] for vm in vms} == set(range(8))
        line = it.source.read_text().splitlines().index("    raise ValueError(vm.name)") + 1
        assert answer.status_code == 502
        assert answer.json()["detail"].endswith(f"ValueError: web01 (at {it.source}:{line} in run)")

    assert it.process.returncode == 0
    assert list(it.kept.iterdir()) == []
    assert "Fatal Python" not in it.log.read_text()


def test_a_server_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    with dev(tmp_path) as it, it.client() as client:
        assert client.get("/plugins").status_code == 200
        it.process.kill()
        it.process.wait(PATIENCE)

        def gone() -> bool:
            try:
                client.get("/plugins")
            except httpx2.TransportError:
                return True
            return False

        it.until(gone, "the server is gone")


def test_a_plugin_is_found_by_its_folder_its_name_and_its_module(tmp_path: Path) -> None:
    package = write_package("nudge", "action", tmp_path)

    found = find_target(str(package))

    assert (found.name, found.module, found.path, found.installed) == ("nudge", "virtumancer_nudge", package, False)
    assert find_target("power").module == find_target("virtumancer_power").module == "virtumancer_power"
    assert find_target("power").installed


@pytest.mark.parametrize(
    ("pyproject", "said"),
    [
        (None, "pyproject.toml cannot be read: No such file or directory; name the folder of a plugin's package"),
        ("[project", "pyproject.toml: "),
        ("[project]", "names 0 plugins; write one below"),
        (
            '[project.entry-points."virtumancer.plugins"]\nnudge = "nudge"',
            "names the module nudge, which is neither in",
        ),
    ],
)
def test_a_folder_that_is_no_plugin_is_refused_with_the_reason(
    pyproject: str | None, said: str, tmp_path: Path
) -> None:
    if pyproject is not None:
        (tmp_path / "pyproject.toml").write_text(pyproject)

    with pytest.raises(UsageError, match=re.escape(said)):
        find_target(str(tmp_path))


def test_a_name_that_nobody_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"no plugin, module or folder 'nosuch': .* installed: .*power"):
        find_target("nosuch")


def test_the_vms_of_its_hosts_have_something_of_everything() -> None:
    hypervisor = rich_hypervisor("dev1", ["vnc"])

    assert {vm.state for vm in hypervisor.vms.values()} == set(range(8))
    assert all(info.disks and info.networks for info in hypervisor.hardware.values())
    assert {offer.kind for offers in hypervisor.consoles.values() for offer in offers} == {"serial", "vnc"}
    assert hypervisor.vms.keys() == rich_hypervisor("dev1").vms.keys() != rich_hypervisor("dev2").vms.keys()
