"""What every command says, and how a person's mistake ends the program."""

import sys
from typing import NoReturn

import msgspec

from virtumancer.config import Config

__all__ = ["EXIT_USAGE", "complain", "log_quietly", "say", "table"]

EXIT_USAGE = 2


def say(text: str) -> None:
    """Print something at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> NoReturn:
    """Say what the person did wrong, and end with exit code 2."""
    sys.stderr.write(f"virtumancer: {text}\n")
    raise SystemExit(EXIT_USAGE)


def table(rows: list[tuple[str, ...]]) -> str:
    """Align all columns but the last."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def log_quietly(settings: Config) -> None:
    """Log errors only: what a command has to say it prints."""
    from virtumancer.logs import configure_logging  # noqa: PLC0415 - `--help` should not wait for it

    configure_logging(msgspec.structs.replace(settings.log, level="error"))
