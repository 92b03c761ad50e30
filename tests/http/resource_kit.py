"""A plugin with resources of every kind: on VMs by an ability, on the server by an object, nested, with content."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import ModuleType
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs

from virtumancer import hookimpl
from virtumancer.contracts import (
    VMS,
    ByteSpan,
    Collection,
    ContentCollection,
    Job,
    ResourceAction,
    ResourceContext,
    ResourceType,
    Rights,
    VMState,
)
from virtumancer.errors import ResourceExists, ResourceNotFound

__all__ = ["NOTES", "SNAPSHOTS", "Note", "Notes", "Snapshot", "Snapshots", "resource_plugin"]


class Snapshot(Struct, frozen=True):
    """A state of a VM that one can go back to."""

    name: str
    description: str = ""
    size: int = 0
    """In bytes."""


class NewSnapshot(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    description: str = ""


class SnapshotChange(Struct, frozen=True, forbid_unknown_fields=True):
    description: str | UnsetType = UNSET


class SnapshotPlan(Struct, frozen=True):
    bytes_needed: int


class Asked(Struct, frozen=True):
    deep: bool = False


class Reverted(Struct, frozen=True):
    to: str


class Snapshots(Collection[Snapshot]):
    """Snapshots in memory, by VM; `wrong` is returned instead, once it is set."""

    ability = "snapshots"

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Snapshot]] = {}
        self.wrong: Any = None
        self.seen: list[ResourceContext] = []
        self.begun: list[ResourceContext] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def of(self, at: ResourceContext) -> dict[str, Snapshot]:
        assert at.vm
        self.seen.append(at)
        return self.kept.setdefault(at.vm.uuid, {})

    async def list(self, at: ResourceContext) -> Sequence[Snapshot]:
        found = tuple(self.of(at).values())
        return self.wrong if self.wrong is not None else found

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Snapshot:
        self.begun.append(at)
        with job.interruptible():
            await self.gate.wait()
        if spec.name in self.of(at):
            raise ResourceExists(f"there is a snapshot {spec.name!r} already")
        return self.of(at).setdefault(spec.name, Snapshot(spec.name, spec.description, 7))

    async def plan(self, at: ResourceContext, spec: NewSnapshot) -> SnapshotPlan:
        return SnapshotPlan(len(spec.name))

    async def change(self, at: ResourceContext, key: str, change: SnapshotChange, job: Job) -> Snapshot:
        old = self.of(at).get(key)
        if old is None:
            raise ResourceNotFound(f"there is no snapshot {key!r}")
        if change.description is not UNSET:
            old = structs.replace(old, description=change.description)
        self.of(at)[key] = old
        return old

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        if self.of(at).pop(key, None) is None:
            raise ResourceNotFound(f"there is no snapshot {key!r}")

    async def revert(self, at: ResourceContext, key: str, job: Job) -> Reverted:
        return Reverted(key)


class Note(Struct, frozen=True):
    name: str
    lines: int = 0


class Notes(ContentCollection[Note]):
    """Notes in memory, with text; reading `broken` raises midway."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}
        self.digests: dict[str, Any] = {}

    async def list(self, at: ResourceContext) -> Sequence[Note]:
        return tuple(Note(name, text.count(b"\n")) for name, text in self.texts.items())

    async def create(self, at: ResourceContext, spec: Note, job: Job) -> Note:
        if spec.name in self.texts:
            raise ResourceExists(f"there is a note {spec.name!r} already")
        self.texts[spec.name] = b""
        return spec

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        if self.texts.pop(key, None) is None:
            raise ResourceNotFound(f"there is no note {key!r}")

    async def sha256(self, at: ResourceContext, key: str) -> bytes | None:
        return self.digests.get(key)

    async def size(self, at: ResourceContext, key: str) -> int:
        if key not in self.texts:
            raise ResourceNotFound(f"there is no note {key!r}")
        return len(self.texts[key])

    async def read(self, at: ResourceContext, key: str, span: ByteSpan) -> AsyncIterator[bytes]:
        text = self.texts[key][span.start : span.stop]
        for start in range(0, len(text), 65536):
            if key == "broken" and start:
                raise ValueError("the disk is gone")
            yield text[start : start + 65536]

    async def write(
        self, at: ResourceContext, key: str, span: ByteSpan, chunks: AsyncIterator[bytes], job: Job
    ) -> None:
        self.texts[key] = self.texts[key][: span.start] + b"".join([chunk async for chunk in chunks])


class Line(Struct, frozen=True):
    number: str


class Lines(Collection[Line]):
    """The lines of a note."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    async def list(self, at: ResourceContext) -> Sequence[Line]:
        return [Line(str(number)) for number, _ in enumerate(self.notes.texts[at.keys[0]].splitlines())]


SNAPSHOTS = ResourceType(
    name="snapshots",
    singular="snapshot",
    title="Snapshots",
    parent=VMS,
    item=Snapshot,
    served_by=Snapshots,
    create=NewSnapshot,
    plan=SnapshotPlan,
    change=SnapshotChange,
    delete=True,
    query=Asked,
    volatile=("size",),
    columns=("name", "size"),
    examples=(Snapshot("before-upgrade"),),
    rights=Rights(write="snapshot", roles={"snapshot": ("operator",)}),
    actions=(
        ResourceAction(
            name="revert", title="Go back", answer=Reverted, states=frozenset({VMState.RUNNING}), destructive=True
        ),
    ),
)

NOTES_OF_SERVER = Notes()
NOTES = ResourceType(
    name="notes",
    singular="note",
    title="Notes",
    item=Note,
    served_by=NOTES_OF_SERVER,
    create=Note,
    delete=True,
    content=True,
    rights=Rights(write="metadata"),
)
LINES = ResourceType(
    name="lines",
    singular="line",
    title="Lines",
    parent=NOTES,
    item=Line,
    key="number",
    served_by=Lines(NOTES_OF_SERVER),
)


def resource_plugin() -> ModuleType:
    """Make a plugin that adds them."""

    @hookimpl
    def virtumancer_resources() -> list[ResourceType[Any, Any, Any]]:
        return [SNAPSHOTS, NOTES, LINES]

    plugin = ModuleType("noted")
    plugin.__dict__["virtumancer_resources"] = virtumancer_resources
    return plugin
