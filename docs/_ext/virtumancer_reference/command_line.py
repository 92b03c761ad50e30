"""The command line reference: what the program itself prints for `--help`."""

import io
from collections.abc import Iterator

import cyclopts
from rich.console import Console

from virtumancer.cli import app

__all__ = ["command_line", "commands"]

WIDTH = 90


def commands(program: cyclopts.App = app, above: str = "") -> Iterator[str]:
    """Yield the commands as they are typed, those of a group after it."""
    for name in program:
        if not name.startswith("-"):
            yield f"{above}{name}"
            yield from commands(program[name], f"{above}{name} ")


def command_line() -> str:
    """Write a section for the program and one for each command."""
    parts = [_section(f"virtumancer {name}".strip(), name) for name in ("", *commands())]
    return "\n\n".join(parts)


def _section(title: str, command: str) -> str:
    output = io.StringIO()
    app.help_print(command.split(), console=Console(file=output, width=WIDTH))
    text = "\n".join(line.rstrip() for line in output.getvalue().splitlines()).strip()
    return f"## `{title}`\n\n```text\n{text}\n```"
