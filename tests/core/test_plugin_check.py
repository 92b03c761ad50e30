"""`virtumancer plugin check`: an installed plugin is held against the contract, sentence by sentence."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

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
    assert driver["abilities"] == {"consoles": True, "events": True, "libvirt": True, "screenshot": True}


def test_a_plugin_of_which_nothing_could_be_tested_is_no_success(check: Check, tmp_path: Path) -> None:
    done = check(tmp_path, "libvirt")

    assert done.returncode == 1
    assert "nothing of plugin libvirt could be tested" in done.stderr


WAITING = """
import msgspec
from typing import Annotated
from virtumancer import hookimpl
from virtumancer.contracts import VMAction

class Params(msgspec.Struct, forbid_unknown_fields=True):
    seconds: float
    more: int = 0

async def run(context, vm, params):
    await context.connection.info()

@hookimpl
def virtumancer_vm_actions():
    return [VMAction(name="waiting", title="Wait", description="Waits.", run=run, params=Params)]
"""


@pytest.mark.parametrize("told", ["by an option", "by a file", "by an example"])
def test_an_action_whose_parameters_have_no_default_is_run_with_those_given(
    told: str, check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    example = "seconds: Annotated[float, msgspec.Meta(examples=[0.5])]"
    installed("waiting", WAITING.replace("seconds: float", example) if told == "by an example" else WAITING)
    (tmp_path / "body.json").write_text('{"seconds": 0}')
    body = {"by an option": 'waiting={"seconds": 0}', "by a file": "waiting=@body.json"}.get(told)

    done = check(tmp_path, "waiting", *(("--body", body) if body else ()), "--json")

    [action] = json.loads(done.stdout)
    assert (done.returncode, action["failures"], action["untested"]) == (0, [], {})


def test_without_a_body_it_says_which_sentences_were_not_tested(
    check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("waiting", WAITING)

    done = check(tmp_path, "waiting")

    assert "not tested: override the fixture `params`" in done.stdout
    assert "\n  it ends within its timeout" in done.stdout


KEPT = """
import msgspec
from virtumancer import hookimpl
from virtumancer.contracts import Collection, ResourceType, Rights
from virtumancer.errors import ResourceExists, ResourceNotFound

class Note(msgspec.Struct, frozen=True):
    name: str

class Notes(Collection):
    def __init__(self):
        self.kept = {"old": Note("old")}

    async def list(self, at):
        return tuple(self.kept.values())

    async def create(self, at, spec, job):
        if spec.name in self.kept:
            raise ResourceExists("it is there")
        return self.kept.setdefault(spec.name, spec)

    async def delete(self, at, key, job):
        if self.kept.pop(key, None) is None:
            raise ResourceNotFound("there is none")

@hookimpl
def virtumancer_resources():
    return [
        ResourceType(
            name="notes", singular="note", title="Notes", item=Note, create=Note, delete=True,
            served_by=Notes(), rights=Rights(write="metadata"),
        )
    ]
"""


def test_what_a_sentence_made_of_a_resource_is_not_there_for_the_next(
    check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("kept", KEPT)

    without = check(tmp_path, "kept")
    done = check(tmp_path, "kept", "--body", 'notes={"name": "new"}', "--json")

    wrong = check(tmp_path, "kept", "--body", 'notes={"nam": "new"}')

    assert "override the fixture `spec` of the suite to test this, or give --body\n" in without.stdout
    assert (wrong.returncode, "--body notes: Object missing required field `name`" in wrong.stderr) == (2, True)
    [notes] = json.loads(done.stdout)
    assert (done.returncode, notes["failures"], notes["passed"]) == (0, [], 12)


USING = f"""
{KEPT.split("@hookimpl", maxsplit=1)[0]}
from virtumancer.contracts import VMAction

NOTES = ResourceType(name="notes", singular="note", title="Notes", item=Note, served_by=Notes())

async def run(context, vm, params):
    await context.collection(NOTES).list()

@hookimpl
def virtumancer_vm_actions():
    return [VMAction(name="using", title="Use", description="Uses.", run=run)]
"""


def test_an_action_that_uses_what_another_plugin_serves_is_no_failure(
    check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("using", USING)

    done = check(tmp_path, "using")

    assert (done.returncode, done.stderr) == (0, "")
    assert "it uses notes, which another plugin serves: override the fixture `context` of the suite" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--body", "waiting"), "--body waiting: write NAME=JSON, or NAME=@FILE"),
        (("--body", "waiting={"), "--body waiting: Input data was truncated"),
        (("--body", "waiting=@nowhere"), "--body waiting: nowhere cannot be read: No such file or directory"),
        (("--body", "wait={}"), "--body: the plugin has no action or resource 'wait'; it has waiting"),
        (("--console", 'vnc={"viewer": [{"send": "€"}]}'), "is no byte"),
        (("--junit", "no/where.xml"), "--junit: no/where.xml cannot be written"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(
    arguments: tuple[str, ...], said: str, check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("waiting", WAITING)

    done = check(tmp_path, "waiting", *arguments)

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


RFB = {
    "hypervisor": [
        {"send": "RFB 003.008\n", "read": 12},
        {"send": "\x01\x01", "read": 1},
        {"send": "\0\0\0\0", "read": 1},
        {"send": "\0\x01\0\x01" + "\x20\x18\0\x01\0\xff\0\xff\0\xff\x10\x08\0\0\0\0" + "\0\0\0\0"},
    ],
    "viewer": [
        {"read": 12},
        {"send": "RFB 003.008\n", "read": 2},
        {"send": "\x01", "read": 4},
        {"send": "\x01", "read": 24},
    ],
    "from_hypervisor": "\x02",
    "from_viewer": "\x04\x01\0\0\0\0\0\x61",
}


def test_a_handshake_is_played_from_a_file(check: Check, tmp_path: Path) -> None:
    (tmp_path / "vnc.json").write_text(json.dumps(RFB))

    done = check(tmp_path, "vnc", "--console", "vnc=@vnc.json", "--json")

    [console] = json.loads(done.stdout)
    assert (done.returncode, console["failures"], console["untested"]) == (0, [], {})


def test_results_are_written_as_junit(check: Check, installed: Callable[..., None], tmp_path: Path) -> None:
    installed("bad", BAD)

    check(tmp_path, "bad", "--junit", "results.xml")

    [suite] = ElementTree.parse(tmp_path / "results.xml").getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("bad.collector.bad", "12", "1")
    assert failed == ["samples have names that can be stored"]


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


LOCKED = """
from types import ModuleType
from virtumancer import hookimpl
from virtumancer.contracts import VMState
from virtumancer.testing import FakeHypervisor, fake_plugin

hypervisor = FakeHypervisor("locked")
hypervisor.credentials = {"password": "correct horse"}
hypervisor.define("web01", VMState.RUNNING)
[driver] = fake_plugin(hypervisor).virtumancer_host_drivers()

@hookimpl
def virtumancer_host_drivers():
    return [driver]
"""


def test_a_host_is_reached_with_credentials_from_a_file(
    check: Check, installed: Callable[..., None], tmp_path: Path
) -> None:
    installed("locked", LOCKED)
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("battery staple\n")
    reach = ("locked", "--uri", "fake://locked", "--running", "web01")

    done = check(tmp_path, *reach, "--credential", "password=@password")
    refused = check(tmp_path, *reach, "--credential", "password=@wrong", "--junit", "report.xml")
    told = check(tmp_path, *reach, "--credential", "password=correct horse")

    assert (done.returncode, done.stderr) == (0, "")
    assert refused.returncode == 1
    assert "the hypervisor does not take password '***'" in refused.stdout
    assert "battery staple" not in refused.stdout + refused.stderr + (tmp_path / "report.xml").read_text()
    assert (told.returncode, "everybody on this machine can read a command line" in told.stderr) == (2, True)
    assert "correct horse" not in told.stderr
