"""What a plugin's author sees: the contracts are typed, and strict type checkers agree on them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FROZEN = HERE.parent / "contract" / "frozen_1_0" / "virtumancer_frozen.py"
CHECKERS = ("mypy", "pyright")


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy(file: Path) -> set[int]:
    """Return the lines that mypy complains about, as strictly as it can."""
    output = run("mypy", "--strict", "--config-file=", "--no-pretty", file.name, cwd=file.parent)
    return {int(line) for line in re.findall(r"^.+?:(\d+): error:", output, re.M)}


def pyright(file: Path) -> set[int]:
    """Return the lines that pyright complains about, as strictly as it can."""
    settings = {"typeCheckingMode": "strict", "include": [file.name]}
    file.with_name("pyrightconfig.json").write_text(json.dumps(settings))
    output = json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable, cwd=file.parent))
    assert output["summary"]["filesAnalyzed"] == 1
    return {found["range"]["start"]["line"] + 1 for found in output["generalDiagnostics"]}


@pytest.fixture(params=CHECKERS)
def complaints_about(request: pytest.FixtureRequest, tmp_path: Path):
    """A type checker, run in a folder where no configuration of ours can help."""
    pytest.importorskip(request.param)
    checker = {"mypy": mypy, "pyright": pyright}[request.param]
    return lambda name: checker(Path(shutil.copy(HERE / name, tmp_path)))


def test_a_plugin_that_keeps_to_the_contracts_checks_clean(complaints_about) -> None:
    assert complaints_about("plugin_that_fits.py") == set()


def test_a_plugin_written_against_1_0_checks_clean(complaints_about) -> None:
    assert complaints_about(FROZEN) == set()


def test_every_mistake_against_the_contracts_is_found_and_nothing_else(complaints_about) -> None:
    lines = (HERE / "plugin_that_does_not.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert complaints_about("plugin_that_does_not.py") == wrong
