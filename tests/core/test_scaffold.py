"""What `virtumancer plugin new` writes works as it is: its tests pass, and linter and type checker are content."""

import json
from pathlib import Path
from typing import get_args

import pytest

from tests.forks import Forks
from virtumancer import hookspecs
from virtumancer.cli.commands.plugin_new import HELP, new
from virtumancer.errors import UsageError
from virtumancer.scaffold import KINDS, Kind, write_package

CONFIGURATION = '[plugins.greener-hosts]\nsecret = "env:PROXY_SECRET"\n'
ON_A_HOST = ("--uri", "greenerhosts://somewhere", "--running", "web01", "--stopped", "db01")


def run(forks: Forks, package: Path, *command: str) -> str:
    environment = {"PYTHONPATH": str(package), "HOME": str(package), "PROXY_SECRET": "a secret"}
    done = forks.run(*command, folder=package, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_tests_of_a_new_package_pass(kind: Kind, tmp_path: Path, forks: Forks) -> None:
    package = write_package(f"my-{kind}", kind, tmp_path)

    report = run(forks, package, "pytest", "-p", "no:cacheprovider", "-q")

    assert " passed" in report


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_is_found_as_a_plugin_and_passes_its_check(kind: Kind, tmp_path: Path, forks: Forks) -> None:
    package = write_package("greener-hosts", kind, tmp_path)
    (package / "virtumancer.toml").write_text(CONFIGURATION if kind == "authenticator" else "")
    distribution = package / "virtumancer_greener_hosts-0.1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: virtumancer-greener-hosts\nVersion: 0.1.0\n")
    (distribution / "entry_points.txt").write_text("[virtumancer.plugins]\ngreener-hosts = virtumancer_greener_hosts\n")

    reach = ON_A_HOST if kind == "driver" else ()
    options = ("--json", "--config", "virtumancer.toml")
    checked = run(forks, package, "virtumancer", "plugin", "check", "greener-hosts", *options, *reach)

    results = json.loads(checked)
    assert results
    assert all(result["passed"] and not result["failures"] for result in results)


def test_there_is_a_kind_for_everything_that_a_plugin_can_add(tmp_path: Path) -> None:
    written = "".join(
        file.read_text()
        for kind in KINDS
        for file in write_package(f"my-{kind}", kind, tmp_path).glob("virtumancer_*/__init__.py")
    )

    hooks = [name for name in hookspecs.__all__ if name.startswith("virtumancer_")]
    assert [hook for hook in hooks if f"def {hook}(" not in written] == []


def test_the_help_has_a_sentence_for_each_kind() -> None:
    assert set(KINDS) == set(get_args(Kind))
    assert all(f"- {kind}: {sentence}" in HELP and sentence.endswith(".") for kind, sentence in KINDS.items())


@pytest.mark.parametrize("name", ["", "My-Plugin", "1st", "a--b", "a_b", "../up", "a" * 41])
def test_a_name_that_cannot_be_used_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no name for a plugin"):
        write_package(name, "action", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["libvirt", "power", "vnc"])
def test_the_name_of_a_built_in_plugin_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{name!r} is the name of a built-in plugin"):
        new(name, kind="driver", folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("metadata", "action"),
        ("console", "action"),
        ("stats", "console"),
        ("vms", "host-action"),
        ("hosts", "resource"),
    ],
)
def test_a_name_that_stands_for_something_else_is_refused(name: str, kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"no {kind} is named so"):
        new(name, kind=kind, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_such_a_name_is_free_for_what_has_no_route(tmp_path: Path) -> None:
    new("metadata", kind="collector", folder=tmp_path)

    assert (tmp_path / "virtumancer-metadata").is_dir()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    place = write_package("mine", "action", tmp_path)
    (place / "README.md").write_text("precious")

    with pytest.raises(UsageError, match="exists already"):
        write_package("mine", "driver", tmp_path)

    assert (place / "README.md").read_text() == "precious"
