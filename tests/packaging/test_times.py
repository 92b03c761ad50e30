"""The table at the end of `scripts/test`: what each environment of tox took, and how it ended."""

import json
import runpy
from pathlib import Path

import pytest

TIMES = Path(__file__).parents[2] / "scripts/times.py"


def test_each_part_is_listed_with_its_seconds_and_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lint = {"result": {"success": True, "duration": 50.4}, "test": [{"elapsed": 20.1}, {"elapsed": 10.2}]}
    broken = {"result": {"success": False, "duration": 7.0}, "setup": [{"elapsed": 7.0}]}
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"testenvs": {"lint": lint, "type": broken, ".pkg": {}}}))

    runpy.run_path(str(TIMES))["main"]("100.0", "103.2", str(result), str(tmp_path / "never-written.json"))

    lines = [line.split() for line in capsys.readouterr().out.strip().splitlines()]
    assert lines[1:4] == [["setup", "3", "3"], ["lint", "20", "30", "50", "passed"], ["type", "7", "0", "7", "FAILED"]]
    assert lines[4][:2] == ["wall", "clock"]
    assert len(lines) == 5
