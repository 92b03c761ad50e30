"""The program as the systemd unit confines it, as far as that can be done without systemd."""

import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from tests.e2e.manager import Manager

NOBODY = 65534
# What the unit calls MemoryDenyWriteExecute and systemd does with a filter, the kernel does by itself.
DENY_WRITE_EXECUTE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) and sys.exit(9)
os.execv(sys.argv[1], sys.argv[1:])
"""
# Tried by a library of libvirt's when it is loaded, and refused by the unit: it has to do without.
REFUSED = {"set_mempolicy"}


class ConfinedManager(Manager):
    """Nobody's process without capabilities, on a file system that is read-only but for its folder."""

    def __init__(self, config: str = "") -> None:
        # Folders of tests are their user's alone.
        folder = Path(tempfile.mkdtemp(prefix="confined-", dir="/var/tmp"))
        # Counting lines would write beside the sources, which are read-only for it.
        super().__init__(folder, config, env={"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""})
        self.trace = folder / "trace"

    def give(self, file: Path) -> Path:
        """Copy a file to where the process may read it."""
        copy = self.folder / file.name
        shutil.copy(file, copy)
        os.chown(copy, NOBODY, NOBODY)
        copy.chmod(0o400)
        return copy

    def own_folder(self) -> None:
        """Hand the folder over, with what is in it."""
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)

    def command(self, *flags: str) -> list[str]:
        # As a grandchild, so that signals reach the program itself.
        trace = ["strace", "--daemonize", "--follow-forks", "--quiet=all", "--output", str(self.trace)]
        trace += [f"--inject={call}:error=EPERM" for call in REFUSED]
        confine = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
        dropped = ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        program = [sys.executable, "-c", DENY_WRITE_EXECUTE, *super().command(*flags)]
        script = _mounts(self.folder) + shlex.join(["exec", *confine, *dropped, *trace, *program])
        return ["unshare", "--mount", "--propagation=private", "/bin/sh", "-ec", script]

    def system_calls(self) -> set[str]:
        """The names of all system calls that it made."""
        lines = self.trace.read_text(errors="replace").splitlines()
        calls = (line.split(maxsplit=1)[-1].partition("(")[0].strip() for line in lines if "(" in line)
        return {call for call in calls if call.isidentifier()}

    def remove(self) -> None:
        shutil.rmtree(self.folder)


def _mounts(folder: Path) -> str:
    """Commands that make everything read-only, and what root keeps to itself invisible but for Python."""
    steps = [f"mount --bind {folder} {folder}", "mount -t tmpfs -o mode=755 none /mnt"]
    hidden: dict[Path, list[Path]] = {}
    for kept in (Path(sys.base_prefix), Path(sys.prefix)):
        private = next((path for path in reversed(kept.parents) if not path.stat().st_mode & 0o001), None)
        if private is not None:
            hidden.setdefault(private, []).append(kept)
    saved = {kept: f"/mnt/{number}" for number, kept in enumerate(kept for group in hidden.values() for kept in group)}
    steps += [f"mkdir {place}; mount --bind {shlex.quote(str(kept))} {place}" for kept, place in saved.items()]
    steps += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(private))}" for private in hidden]
    for kept, place in saved.items():
        again = shlex.quote(str(kept))
        steps.append(f"mkdir -p {again}; mount --bind {place} {again}")
    return "; ".join([*steps, "mount -o remount,bind,ro /", ""])
