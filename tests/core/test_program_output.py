"""The program where nobody can read what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("virtumancer"))


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("<&- >&-", 0, ""),
        (">/dev/full", 1, "virtumancer: what there is to say cannot be written: No space left on device\n"),
        ("| true", 0, ""),
    ],
)
def test_an_output_that_takes_nothing_is_no_traceback(tmp_path: Path, output: str, code: int, said: str) -> None:
    command = f"set -o pipefail; {PROGRAM} check-config {output}"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)
