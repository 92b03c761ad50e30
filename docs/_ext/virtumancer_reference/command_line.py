"""The command line reference: what the program itself prints for `--help`."""

import io

from rich.console import Console

from virtumancer.cli import app

__all__ = ["command_line", "commands"]

WIDTH = 90


def commands() -> tuple[str, ...]:
    """Return the names of the commands."""
    return tuple(name for name in app if not name.startswith("-"))


def command_line() -> str:
    """Write a section for the program and one for each command."""
    parts = [_section(f"virtumancer {name}".strip(), name) for name in ("", *commands())]
    return "\n\n".join(parts)


def _section(title: str, command: str) -> str:
    output = io.StringIO()
    app.help_print([command] if command else [], console=Console(file=output, width=WIDTH))
    text = "\n".join(line.rstrip() for line in output.getvalue().splitlines()).strip()
    return f"## `{title}`\n\n```text\n{text}\n```"
