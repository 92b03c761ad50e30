"""The option `--credential`: secrets that come from a file, the standard input or a question, never as an argument."""

import asyncio
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from virtumancer.errors import UsageError

__all__ = ["Credentials", "read_credentials"]

Credentials = Annotated[
    tuple[str, ...],
    Parameter(
        show_default=False,
        name="--credential",
        help="A credential of the host: NAME=@FILE reads it from a file, NAME=@- from standard input, NAME asks for "
        "it; several times for several.",
        negative=(),
    ),
]


async def read_credentials(options: Sequence[str]) -> dict[str, str]:
    """Read what the options name. Raises `UsageError`."""
    read: dict[str, str] = {}
    for option in options:
        name, given, source = option.partition("=")
        if given and not source.startswith("@"):
            raise UsageError(
                f"--credential {name}=…: everybody on this machine can read a command line, and shells remember it; "
                f"write {name}=@FILE, or {name} alone to be asked for it"
            )
        if name in read:
            raise UsageError(f"--credential {name} is given twice")
        read[name] = await asyncio.to_thread(_read, name, source.removeprefix("@"))
    return read


def _read(name: str, source: str) -> str:
    if source == "-":
        return _without_break(sys.stdin.read())
    if source:
        try:
            return _without_break(Path(source).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(f"--credential {name}: {source} cannot be read: {reason}") from None
    if not sys.stdin.isatty():
        raise UsageError(f"--credential {name}: nobody can be asked without a terminal; write {name}=@FILE")
    return getpass.getpass(f"{name}: ")


def _without_break(text: str) -> str:
    """One line break at the end of a file is not part of the secret."""
    return text.removesuffix("\n").removesuffix("\r")
