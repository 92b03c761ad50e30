"""The list of attacks names every file here, and no file that is gone."""

import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_the_list_of_attacks_is_complete_and_true() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", (HERE / "README.md").read_text()))
    here = {str(file.relative_to(ROOT)) for file in HERE.glob("test_*.py") if file != Path(__file__)}

    assert [name for name in named if not (ROOT / name).is_file()] == []
    assert here - named == set()
