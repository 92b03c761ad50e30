"""Reading the process table from /proc."""

from pathlib import Path


def processes() -> list[int]:
    """All process ids."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return _state_and_parent(pid)[0] not in ("", "Z", "X")


def state(pid: int) -> str:
    """The state letter of a process ("T" is stopped), or "" when it is gone."""
    return _state_and_parent(pid)[0]


def children(pid: int) -> list[int]:
    """The direct children of a process that are alive."""
    return [other for other in processes() if _state_and_parent(other)[1] == pid and is_alive(other)]


def tree(pid: int) -> list[int]:
    """A process and all its descendants, parents before their children."""
    parents = {other: _state_and_parent(other)[1] for other in processes()}
    found = [pid]
    for ancestor in found:
        found.extend(other for other, parent in parents.items() if parent == ancestor)
    return found


def pid_namespace(pid: int) -> str:
    """The identity of the process namespace that a process lives in, or "" when it is gone or not for us to see."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # even root may not look at all of a container's
        return ""


def pid_inside(pid: int) -> int:
    """The process id that a process has in its own, innermost namespace, or 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
    return int(line.split()[-1])


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    fields = text.rpartition(")")[2].split()  # the program's name before it may contain anything
    return fields[0], int(fields[1])
