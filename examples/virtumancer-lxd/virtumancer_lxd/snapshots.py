"""Snapshots of instances, as a resource: what they are, and how LXD is asked for them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from msgspec import Meta, Struct

from virtumancer.contracts import VMS, Collection, Job, ResourceAction, ResourceContext, ResourceType, Rights, Timestamp
from virtumancer.errors import CallTimeout, HypervisorError, InvalidValue, ResourceExists, ResourceNotFound, VMNotFound
from virtumancer_lxd.answers import Instance
from virtumancer_lxd.api import INSTANCES, LXD, Missing

__all__ = ["SNAPSHOTS", "LXDSnapshots", "NewSnapshot", "Revert", "Snapshot"]

# LXD copies disks, where its storage cannot do better.
LONG = 600.0
LONGEST_NAME = 200
REFUSED = frozenset(" /?&%")
# What LXD says to the second of two who make the same.
FASTER = ("already exists", "Instance is busy")
# In LXD 5.0 these are folders like any other: whoever removes them removes all snapshots.
FOLDERS = frozenset({".", ".."})


class Snapshot(Struct, frozen=True):
    """A state of an instance that one can go back to."""

    name: str
    created_at: Timestamp
    stateful: bool = False
    """Whether the memory is in it, so that going back goes on where it was."""
    size: int | None = None
    """Bytes that it takes, None where the storage does not tell."""
    expires_at: Timestamp | None = None
    """When LXD removes it by itself; None for never."""


class NewSnapshot(Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot is made of."""

    name: Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
    stateful: bool = False
    """Keep the memory, too: the instance has to run, with CRIU or `migration.stateful`."""


class Revert(Struct, frozen=True, forbid_unknown_fields=True):
    """How to go back."""

    stateful: bool = False
    """Take the memory from the snapshot, too, which has to be a stateful one."""


class LXDSnapshots(Collection[Snapshot]):
    """The snapshots of the instances of one LXD; `find` looks an instance up by its UUID."""

    ability = "snapshots"

    def __init__(self, lxd: LXD, find: Callable[[str], Awaitable[Instance]]) -> None:
        self._lxd = lxd
        self._find = find

    async def list(self, at: ResourceContext) -> Sequence[Snapshot]:
        """List them in one request."""
        try:
            found = await self._lxd.get(f"{await self._place(at)}/snapshots", list[Snapshot], recursion="1")
        except Missing as error:
            raise VMNotFound(error.message) from error
        return [_shown(snapshot) for snapshot in found]

    async def create(self, at: ResourceContext, spec: NewSnapshot, job: Job) -> Snapshot:
        """Have LXD copy the disks, or note their state where its storage can."""
        _check_new_name(spec.name)
        if await self.get(at, spec.name) is not None:
            raise ResourceExists(f"there is a snapshot {spec.name!r} already")
        place = await self._place(at)
        await job.step(f"LXD makes the snapshot {spec.name}")
        body = {"name": spec.name, "stateful": spec.stateful}
        try:
            await self._done("POST", f"{place}/snapshots", body)
        except HypervisorError as error:
            is_late = any(text in error.message for text in FASTER)
            if is_late and await self.get(at, spec.name) is not None:
                raise ResourceExists(f"there is a snapshot {spec.name!r} already") from error
            raise
        return await self._present(at, spec.name)

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        """Have LXD remove it."""
        await self._present(at, key)
        _check_old_name(key)
        path = await self._path_of(at, key)
        await job.step(f"LXD removes the snapshot {key}")
        try:
            await self._done("DELETE", path, None)
        except Missing as error:
            raise ResourceNotFound(f"there is no snapshot {key[:80]!r}") from error

    async def revert(self, at: ResourceContext, key: str, params: Revert, job: Job) -> None:
        """Go back; LXD stops an instance that runs, and starts it again."""
        await self._present(at, key)
        _check_old_name(key)
        place = await self._place(at)
        await job.step(f"LXD goes back to the snapshot {key}")
        await self._done("PUT", place, {"restore": key, "stateful": params.stateful})

    async def _place(self, at: ResourceContext) -> str:
        """Return the path of the instance, whose name may have become that of another."""
        instance = await self._find(at.vm.uuid if at.vm else "")
        return f"{INSTANCES}/{quote(instance.name, safe='')}"

    async def _present(self, at: ResourceContext, key: str) -> Snapshot:
        found = await self.get(at, key)
        if found is None:
            raise ResourceNotFound(f"there is no snapshot {key[:80]!r}")
        return found

    async def _path_of(self, at: ResourceContext, key: str) -> str:
        """Return the path that leads to it, and to no other: LXD 5.0 decodes names twice, as in `%252e%252e`."""
        place, once = f"{await self._place(at)}/snapshots", quote(key, safe="")
        if "%" not in key:
            return f"{place}/{once}"
        for path in (f"{place}/{once}", f"{place}/{quote(once, safe='')}"):
            try:
                found = await self._lxd.get(path, Snapshot)
            except HypervisorError:  # no such snapshot, or none that could be
                continue
            if found.name == key:
                return path
        raise HypervisorError(f"LXD at {self._lxd.name} does not find the snapshot {key[:80]!r} by its name")

    async def _done(self, method: str, path: str, body: Any) -> None:
        begun = await self._lxd.begin(method, path, body)
        if not (await self._lxd.wait(begun, LONG)).is_over:
            raise CallTimeout(f"LXD at {self._lxd.name} was not done within {LONG:g} s, and goes on")


SNAPSHOTS = ResourceType(
    name="snapshots",
    singular="snapshot",
    title="Snapshots",
    parent=VMS,
    item=Snapshot,
    create=NewSnapshot,
    delete=True,
    served_by=LXDSnapshots,
    rights=Rights(write="snapshot", roles={"snapshot": ("operator",)}),
    timeout=LONG,
    actions=(
        ResourceAction(
            name="revert",
            title="Go back to it",
            description="What has changed on the disks since then is lost. An instance that runs is started again.",
            params=Revert,
            destructive=True,
            timeout=LONG,
        ),
    ),
    volatile=("size",),
    columns=("name", "created_at", "stateful", "size"),
)


def _shown(told: Snapshot) -> Snapshot:
    """Say None where LXD says -1 byte, or the year 1."""
    never = told.expires_at is None or told.expires_at.year <= 1
    size = None if told.size is None or told.size < 0 else told.size
    return Snapshot(told.name, told.created_at, told.stateful, size, None if never else told.expires_at)


def _check_new_name(name: str) -> None:
    """Raise `InvalidValue` for a name that LXD refuses, or by which nobody could ask for it."""
    if not name.isprintable() or not REFUSED.isdisjoint(name) or name in {"", *FOLDERS}:
        raise InvalidValue("LXD takes letters, digits and marks, but no space and none of / ? & %", field="name")
    if len(name.encode()) > LONGEST_NAME:
        raise InvalidValue(f"it is longer than {LONGEST_NAME} bytes", field="name")


def _check_old_name(name: str) -> None:
    if name in FOLDERS:
        raise InvalidValue(f"LXD takes {name!r} for a folder, and would lose other snapshots with it", field="name")
