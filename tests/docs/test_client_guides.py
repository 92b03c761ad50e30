"""What the guides of the client and of the command line say is so."""

import re

import pytest

from tests.docs.pages import ROOT
from virtumancer.cli import app
from virtumancer.cli.exit_codes import Exit

CLIENT = (ROOT / "docs/how-to/use-the-client.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs/how-to/use-the-command-line.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", CLIENT, re.S))
def test_the_code_of_the_client_guide_finds_what_it_imports(code: str) -> None:
    exec(compile(code, "use-the-client.md", "exec"), {})


def test_every_exit_code_is_in_the_table() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", COMMANDS, re.M)} == set(Exit)


def test_every_command_of_the_guide_is_one() -> None:
    quoted = set(re.findall(r"^(?:\$ )?virtumancer ([a-z]+)(?: ([a-z-]+))?", COMMANDS, re.M))
    assert len(quoted) > 8
    for command, sub in quoted:
        assert command in list(app)
        if command in {"hosts", "operations"}:
            assert sub in list(app[command])
