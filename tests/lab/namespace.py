"""A mount and process namespace of the lab's own: what runs inside ends with it, whatever happens."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import LabError
from .proc import children, is_alive, pid_namespace, processes

_UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]

# The keeper is process 1 inside. It lives as long as its standard input is open, so even a killed test run ends it,
# and with process 1 the kernel kills all others. It must reap orphans: libvirt takes a zombie QEMU for a living one.
_KEEPER = """
set -e
while [ $# -gt 0 ]; do mkdir -p "$2"; mount --bind "$1" "$2"; shift 2; done
echo ready
exec env --ignore-signal=CHLD cat >/dev/null 2>&1
"""


class Namespace:
    """Processes started through `enter` see the given folders in the place of the system's."""

    def __init__(self, binds: Mapping[Path, Path] | None = None) -> None:
        self._binds = dict(binds or {})  # folder of ours -> path that it covers inside
        self._unshare: subprocess.Popen[bytes] | None = None
        self._keeper = 0

    def __enter__(self) -> Self:
        pairs = [str(path.resolve()) for bind in self._binds.items() for path in bind]
        self._unshare = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _KEEPER, "keeper", *pairs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._unshare.stdout is not None
        assert self._unshare.stderr is not None
        if self._unshare.stdout.readline() != b"ready\n":
            complaint = self._unshare.stderr.read().decode(errors="replace")
            self._end()
            raise LabError(f"The lab cannot make a namespace (is it root, in a privileged container?): {complaint}")
        self._keeper = children(self._unshare.pid)[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def enter(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` inside."""
        if not is_alive(self._keeper):
            raise LabError("The lab's namespace is not open.")
        return ["nsenter", "--target", str(self._keeper), "--mount", "--pid", "--", *command]

    def holds(self, pid: int) -> bool:
        """Whether a process lives inside."""
        return pid_namespace(pid) == pid_namespace(self._keeper) != ""

    def processes(self) -> list[int]:
        """The process ids, as seen from outside, of all that lives inside, but for the keeper."""
        return [pid for pid in processes() if pid != self._keeper and is_alive(pid) and self.holds(pid)]

    def _end(self) -> None:
        if self._unshare is None:
            return
        with self._unshare:  # closes the pipes, which ends the keeper, and waits until all inside is gone
            pass
        self._unshare = None
