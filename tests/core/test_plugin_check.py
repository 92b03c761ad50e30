"""`virtumancer plugin check`: an installed plugin is held against the contract, sentence by sentence."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forks import Forks

GOOD = """
from virtumancer import hookimpl
from virtumancer.contracts import Sample, StatsCollector

class Good(StatsCollector):
    name = "good"

    async def collect(self, context):
        return [Sample("vms", len(await context.connection.list_vms()))]

@hookimpl
def virtumancer_stats_collectors():
    return [Good]
"""
BAD = GOOD.replace('"vms"', '"Number of VMs"').replace('name = "good"', 'name = "bad"')


Check = Callable[..., "subprocess.CompletedProcess[str]"]


def variables_of(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "PATH": os.defpath, "PYTHONPATH": str(folder)}


@pytest.fixture
def check(forks: Forks) -> Check:
    """Check what is installed in a folder."""

    def run(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = variables_of(folder) | variables
        return forks.run("virtumancer", "plugin", "check", *arguments, folder=folder, environment=environment)

    return run


def test_a_plugin_that_keeps_the_contract_is_told_so(
    check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("good", GOOD)

    done = check(tmp_path, "good")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[:5] == ["collector", "good", "12", "0", "0"]


def test_a_broken_sentence_is_printed_with_its_reason(
    check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("bad", BAD)

    done = check(tmp_path, "bad")

    assert done.returncode == 1
    assert "collector bad: samples have names that can be stored" in done.stdout
    assert "plugin bad does not keep the contract" in done.stderr


def test_of_two_plugins_with_one_name_the_one_that_is_used_is_checked(
    check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("vnc", "raise RuntimeError('imported')", module="stranger")

    done = check(tmp_path, "vnc", "--json", VIRTUMANCER_PLUGINS_ALLOWED="vnc")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[0]["kind"] == "console"


def test_a_driver_is_tested_on_a_host(check: Check, tmp_path: Path) -> None:
    pytest.importorskip("libvirt")

    without = check(tmp_path, "libvirt")
    done = check(tmp_path, "libvirt", "--uri", "test:///default", "--running", "test", "--json")

    assert "not tested: give the URI of a host with --uri" in without.stdout
    [driver] = json.loads(done.stdout)
    assert (driver["kind"], driver["name"], driver["failures"]) == ("driver", "LibvirtDriver", [])
    assert driver["passed"] > 20
    assert driver["abilities"] == {"consoles": True, "events": True, "screenshot": True}


def test_a_console_with_a_handshake_says_what_was_not_tested(check: Check, tmp_path: Path) -> None:
    done = check(tmp_path, "vnc", "--json")

    [console] = json.loads(done.stdout)
    assert (done.returncode, console["failures"]) == (0, [])
    assert console["untested"] == {
        "override `greet_hypervisor` and `greet_viewer` of the suite to test this": console["skipped"]
    }
    assert console["skipped"] > 5
    assert f"console console: {console['skipped']} not tested: override `greet_" in check(tmp_path, "vnc").stdout


def test_what_is_set_for_other_runs_of_pytest_has_no_say(
    check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("bad", BAD)

    done = check(tmp_path, "bad", PYTEST_ADDOPTS="-k nothing", PYTEST_PLUGINS="no_such_module")

    assert done.returncode == 1
    assert "samples have names that can be stored" in done.stdout


def test_a_suite_that_cannot_run_is_no_success(check: Check, installed: Callable[..., None], tmp_path: Path) -> None:
    installed("good", GOOD)
    # pytest imports plugins by their module; this one cannot be.
    (tmp_path / "pytest_asyncio").mkdir()
    (tmp_path / "pytest_asyncio/__init__.py").write_text(
        "from pytest import fixture\ndef __getattr__(name): raise AttributeError(name)\n"
    )

    done = check(tmp_path, "good")

    assert done.returncode != 0
    assert "0        1" in done.stdout or "pytest_asyncio" in done.stderr


@pytest.mark.parametrize("module", ["pytest", "pytest_asyncio"])
def test_without_pytest_it_says_what_to_install(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('No module', name={module!r})\n")

    # Started, not forked: what forks has imported pytest.
    done = subprocess.run(
        [Path(sys.executable).with_name("virtumancer"), "plugin", "check", "power"],
        cwd=tmp_path,
        env=variables_of(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"virtumancer: the module {module} is missing; install what this needs: pip install 'virtumancer[testing]'\n"
    )


def test_a_name_that_nobody_has_is_told_with_the_nearest(check: Check, tmp_path: Path) -> None:
    done = check(tmp_path, "pwer")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "virtumancer: no plugin is named 'pwer'; did you mean power?\n"


def test_a_plugin_that_is_not_in_use_says_why(check: Check, installed: Callable[..., None], tmp_path: Path) -> None:
    installed("broken", "1 / 0")

    done = check(tmp_path, "broken")

    assert done.returncode == 2
    assert "plugin broken is failed: ZeroDivisionError" in done.stderr
