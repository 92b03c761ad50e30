"""Since when VMs run: from the starts we saw, and for older ones from the age of QEMU's pid files."""

import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import unescape  # nosec B406 - it replaces words, and parses nothing

__all__ = ["Uptimes", "age_command", "ages_in_folder", "ages_in_output"]

_SUFFIX = ".pid"
_MARK = "virtumancer-tells-the-time"
"""What comes before it was printed by a login shell that greets."""

# One line without "!", which csh could not take within quotes.
_READ = (
    "echo; echo {mark}; date +%s; for folder in {folders}; do "
    'cd "$folder" 2>/dev/null || continue; '
    "if stat --printf x / >/dev/null 2>&1; then format=--printf; layout='%Y %n\\0'; "
    "else format=-c; layout='%Y %n'; fi; "
    'find . -maxdepth 1 -name \'*.pid\' -exec stat "$format" "$layout" {{}} + 2>/dev/null; '
    "done; true"
)
# libvirt writes a name into that of the file as it does into XML.
_ESCAPED = {"&quot;": '"', "&apos;": "'"}


class Uptimes:
    """Knows since when each VM runs, on this machine's clock that never jumps."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._before: dict[str, float] = {}

    def started(self, uuid: str) -> None:
        """Note that this VM started now."""
        self._seen[uuid] = time.monotonic()

    def stopped(self, uuid: str, name: str) -> None:
        """Forget a VM that does not run any more."""
        self._seen.pop(uuid, None)
        self._before.pop(name, None)

    def forget(self) -> None:
        """Forget all: starts and stops were missed."""
        self._seen.clear()
        self._before.clear()

    def load(self, ages: Mapping[str, float]) -> None:
        """Take the ages, by name, of VMs that ran before we looked; a start that we saw is known better."""
        now = time.monotonic()
        self._before = {name: now - age for name, age in ages.items()}

    def of(self, uuid: str, name: str) -> int:
        """Return a running VM's uptime in seconds, -1 when it cannot be known."""
        since = self._seen.get(uuid, self._before.get(name))
        return -1 if since is None else max(0, int(time.monotonic() - since))


def age_command(folders: tuple[str, ...]) -> str:
    """Return the shell command that tells a remote host's clock and the times of all pid files.

    The folders are words of a shell, so that they may hold its variables. Names are separated by NUL where stat can,
    by lines where it is busybox's.
    """
    return f"sh -c {shlex.quote(_READ.format(mark=_MARK, folders=' '.join(folders)))}"


def ages_in_output(output: str) -> dict[str, float]:
    """Read the answer to `age_command`: seconds by VM name."""
    first, _, rest = output.partition(f"{_MARK}\n")[2].partition("\n")
    now = _seconds(first)
    ages: dict[str, float] = {}
    for entry in rest.split("\0" if "\0" in rest else "\n"):
        modified, _, file = entry.partition(" ")
        if file.endswith(_SUFFIX) and (since := _seconds(modified)) is not None and now is not None:
            ages[_vm_of(file.removeprefix("./"))] = max(0.0, now - since)
    return ages


def ages_in_folder(folder: Path) -> dict[str, float]:
    """Read the pid files of this machine; it blocks."""
    now = time.time()
    ages: dict[str, float] = {}
    # A folder that is not ours to read, or a VM that ended just now: its uptime is unknown, and no other's.
    with suppress(OSError):
        for file in folder.glob("*.pid"):
            with suppress(OSError):
                ages[_vm_of(file.name)] = max(0.0, now - file.stat().st_mtime)
    return ages


def _vm_of(file: str) -> str:
    return unescape(file.removesuffix(_SUFFIX), _ESCAPED)


def _seconds(digits: str) -> float | None:
    digits = digits.strip()
    return float(digits) if digits.isascii() and digits.isdigit() else None
