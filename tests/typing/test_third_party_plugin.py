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
FITS = HERE / "plugin_that_fits.py"
WRONG = HERE / "plugin_that_does_not.py"
RESOURCE = HERE / "resource_mistakes.py"
CHECKERS = ("mypy", "pyright")


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy(files: list[Path]) -> list[tuple[str, int]]:
    """Return names and lines that mypy complains about, as strictly as it can."""
    names = [file.name for file in files]
    output = run("mypy", "--strict", "--config-file=", "--no-pretty", *names, cwd=files[0].parent)
    return [(name, int(line)) for name, line in re.findall(r"^(.+?):(\d+): error:", output, re.M)]


def pyright(files: list[Path]) -> list[tuple[str, int]]:
    """Return names and lines that pyright complains about, as strictly as it can."""
    settings = {"typeCheckingMode": "strict", "include": [file.name for file in files]}
    files[0].with_name("pyrightconfig.json").write_text(json.dumps(settings))
    output = json.loads(run("pyright", "--outputjson", "--pythonpath", sys.executable, cwd=files[0].parent))
    assert output["summary"]["filesAnalyzed"] == len(files)
    found = output["generalDiagnostics"]
    return [(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found]


@pytest.fixture(scope="module", params=CHECKERS)
def complaints(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """The lines of each plugin that a type checker complains about, in a folder where no configuration of ours helps.

    All plugins in one run, since a checker spends most of its time on what they import.
    """
    pytest.importorskip(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    files = [Path(shutil.copy(file, folder)) for file in (FITS, FROZEN, WRONG, RESOURCE)]
    lines: dict[str, set[int]] = {file.name: set() for file in files}
    for name, line in {"mypy": mypy, "pyright": pyright}[request.param](files):
        lines[name].add(line)
    return lines


def test_a_plugin_that_keeps_to_the_contracts_checks_clean(complaints) -> None:
    assert complaints[FITS.name] == set()


def test_a_plugin_written_against_1_0_checks_clean(complaints) -> None:
    assert complaints[FROZEN.name] == set()


def mistakes(file: Path) -> set[int]:
    return {number for number, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# wrong")}


def test_every_mistake_against_the_contracts_is_found_and_nothing_else(complaints) -> None:
    assert complaints[WRONG.name] == mistakes(WRONG)


def test_a_client_is_typed_by_the_descriptor_of_a_resource(complaints) -> None:
    assert complaints[RESOURCE.name] == mistakes(RESOURCE)
