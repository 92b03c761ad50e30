"""What has to be true when everything is calm again, with virsh and the audit log as witnesses."""

import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.manager import ALARMS, PROGRAM, Manager
from tests.lab import PrivateLibvirtd
from tests.soak.faults import qemu_starts
from tests.soak.ledger import Ledger

FINAL = {"succeeded", "failed", "cancelled", "interrupted"}
GROWTH_KIB = 8 * 1024
MORE_FILES = 12


class Resources:
    """Memory, descriptors and threads of the manager over time, as long as it is one process."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._seen: list[tuple[int, int, int]] = []

    def look(self) -> None:
        """Take one sample."""
        pid = self._manager.pid
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        self._seen.append((self._manager.memory_kib, files, threads))

    def table(self) -> str:
        """The medians of the second and of the last fifth, which the first is left out of: caches fill then."""
        if len(self._seen) < 10:
            return "too short to say anything of memory and descriptors"
        before, after = self._fifths()
        names = ("memory KiB", "descriptors", "threads")
        return "; ".join(f"{name} {b:g} to {a:g}" for name, b, a in zip(names, before, after, strict=True))

    def complaints(self) -> Iterator[str]:
        """Say what grows."""
        if len(self._seen) < 10:
            return
        (memory, files, threads), (memory_after, files_after, threads_after) = self._fifths()
        if memory_after - memory > GROWTH_KIB:
            yield f"memory grew from {memory:g} to {memory_after:g} KiB"
        if files_after - files > MORE_FILES:
            yield f"descriptors grew from {files:g} to {files_after:g}"
        if threads_after - threads > MORE_FILES:
            yield f"threads grew from {threads:g} to {threads_after:g}"

    def _fifths(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        fifth = len(self._seen) // 5
        parts = self._seen[fifth : 2 * fifth], self._seen[-fifth:]
        first, last = (tuple(statistics.median(column) for column in zip(*part, strict=True)) for part in parts)
        return first, last


def check(
    manager: Manager, libvirtd: PrivateLibvirtd, ledger: Ledger, ids: dict[str, int], names: list[str]
) -> Iterator[str]:
    """Say what is not as it should be."""
    rows = {row["name"]: row["ID"] for row in manager.get("/hosts/kvm1/vms/db").json()}
    if rows != ids:
        yield f"rows were {ids} and are {rows}"
    live = {vm["name"]: vm["state"] for vm in manager.get("/hosts/kvm1/vms").json()}
    running = set(libvirtd.domains(running=True))
    if {name for name, state in live.items() if state == 1} != running:
        yield f"the API says {live}, virsh that {sorted(running)} run"
    for name in names:
        notes = manager.get(f"/hosts/kvm1/vms/{name}/metadata").json()["notes"]
        if notes not in ledger.notes.get(name, {""}):
            yield f"the notes of {name} are {notes!r}, and should be one of {sorted(ledger.notes[name])}"
    for name, least in ledger.starts.items():
        counted, most = qemu_starts(libvirtd, name), least + ledger.maybe[name]
        if not least <= counted <= most:
            yield f"{name} was started {counted} times instead of {least} to {most}"
    for operation in manager.get("/operations", params={"limit": 1000}).json():
        if operation["state"] not in FINAL:
            yield f"operation {operation['id']} is {operation['state']} for ever"
    yield from _audit(manager)
    if found := ALARMS.search(manager.log()):
        yield f"the log holds {found[0]!r}: {manager.log()[max(0, found.start() - 300) :][:1500]}"


def _audit(manager: Manager) -> Iterator[str]:
    """Let the program verify its own log."""
    environment = manager.environment() | {"VIRTUMANCER_DATABASE_URL": f"sqlite://{manager.database}"}
    ended = subprocess.run(
        [str(PROGRAM), "audit", "verify"],
        capture_output=True, text=True, env=environment, timeout=120, check=False, cwd=manager.folder,
    )  # fmt: skip
    if ended.returncode:
        yield f"the audit log: {ended.stdout}{ended.stderr}"
