"""What `virtumancer plugin new` writes: the strict type checker and the linter have nothing to say, for any kind."""

import subprocess
import sys
from pathlib import Path

import pytest

from virtumancer.scaffold import KINDS, write_package


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of each kind."""
    made = tmp_path_factory.mktemp("packages")
    for kind in KINDS:
        write_package(f"my-{kind}", kind, made)
    return made


def said(*command: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )
    return f"{done.returncode}: {done.stdout}{done.stderr}"


def test_mypy_is_content(folder: Path) -> None:
    pytest.importorskip("mypy")
    packages = [str(path.relative_to(folder)) for path in folder.glob("*/virtumancer_*")]
    options = ("--strict", "--config-file=", "--explicit-package-bases", "--no-error-summary")

    assert said("mypy", *options, *packages, folder=folder) == "0: "


def test_the_linter_and_the_formatter_are_content(folder: Path) -> None:
    pytest.importorskip("ruff")
    assert said("ruff", "check", "--no-cache", "--quiet", folder=folder) == "0: "
    assert said("ruff", "format", "--no-cache", "--check", "--quiet", folder=folder) == "0: "
