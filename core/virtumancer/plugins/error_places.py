"""Where in a plugin something went wrong, for its author: file and line of each frame, while `virtumancer dev` runs.

Whoever asks a server that others use is told what was raised and not where: paths and code are nobody's business.
"""

import importlib.util
import sysconfig
import traceback
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import CodeType

__all__ = ["place_of", "place_of_code", "show_places"]

DEEPEST = 5
SITE = "/site-packages/"
BETWEEN = ("virtumancer", "pluggy", "stevedore")


class _Shown:
    """Whether places are shown; of the whole process, as what is logged is."""

    now = False


def show_places() -> None:
    """Show them from now on."""
    _Shown.now = True


def place_of(error: BaseException) -> str:
    """Say where a plugin raised this, outermost first; empty unless places are shown, or when it was raised in none.

    A place of ours would send its author to the wrong file.
    """
    if not _Shown.now:
        return ""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    return _at(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in own[-DEEPEST:])


def place_of_code(code: CodeType) -> str:
    """Say where a function is; empty unless places are shown."""
    return _at([f"{code.co_filename}:{code.co_firstlineno}"]) if _Shown.now else ""


def _is_own(file: str) -> bool:
    """Say whether a file is neither ours, nor Python's, nor one of what is between the server and a plugin."""
    if file.startswith(("<", *(f"{_folder_of(name)}/" for name in BETWEEN))):
        return False
    return SITE in file or not file.startswith(f"{sysconfig.get_path('stdlib')}/")


@cache
def _folder_of(package: str) -> Path:
    found = importlib.util.find_spec(package)
    return Path((found.origin if found else None) or "/nowhere/").parent


def _at(places: Iterable[str]) -> str:
    shown = ", ".join(places)
    return f" (at {shown})" if shown else ""
