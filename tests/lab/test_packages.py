"""`scripts/test` with arguments installs the laboratory for the tests that need it, and for no others."""

from pathlib import Path

import pytest

from tests.forks import Forks

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

@pytest.mark.lab
def test_with_daemons(): pass

def test_without(): pass
"""


@pytest.mark.parametrize(
    ("arguments", "installs"),
    [
        ((), True),
        (("-k", "daemons"), True),
        (("-k", "without"), False),
        (("-m", "not lab"), False),
        (("--collect-only",), False),
    ],
)
def test_packages_are_installed_for_chosen_tests(
    arguments: tuple[str, ...], installs: bool, tmp_path: Path, forks: Forks
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = lab: needs daemons\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    setup = tmp_path / "scripts/setup"
    setup.parent.mkdir()
    setup.write_text('#!/bin/sh\necho "$@" >"$(dirname "$0")/asked"\n')
    setup.chmod(0o755)

    flags = ("-q", "-p", "no:cacheprovider", "-p", "tests.lab.packages")
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = forks.run("pytest", *flags, *arguments, folder=tmp_path, environment=environment)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "scripts/asked").exists() is installs
    assert not installs or (tmp_path / "scripts/asked").read_text() == "--lab\n"
