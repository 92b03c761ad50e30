"""What the command line prints as JSON: the same document, with nothing in it that a terminal obeys."""

import json

import pytest

from virtumancer.cli.tables import say_json


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize(
    "name", ["plain", "Grüße ✓", "\x9b2J", "\x85", "\x7f", "a\u202eb\u2066c", "\U000e0041", "\u2028"]
)
def test_json_means_the_same_and_hides_what_a_terminal_obeys(
    name: str, lines: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    say_json({"name": name}, lines=lines)
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": name}
    assert printed.replace("\n", "").isprintable()
    assert ("Grüße ✓" in printed) is (name == "Grüße ✓")
