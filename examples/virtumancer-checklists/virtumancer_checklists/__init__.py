"""Two resources: checklists of the server, and remarks on each VM; the plugin serves both itself, in memory."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs

from virtumancer import hookimpl
from virtumancer.contracts import VMS, Collection, Job, ResourceAction, ResourceContext, ResourceType, Rights
from virtumancer.errors import ResourceExists, ResourceNotFound

REQUIRES_CONTRACTS = ">=1.3,<2"


class Checklist(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done, and what of it is done."""

    name: str
    steps: tuple[str, ...] = ()
    done: int = 0
    """How many of the steps."""


class Remark(Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody wrote about a VM."""

    name: str
    text: str = ""


class RemarkChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed of a remark."""

    text: str | UnsetType = UNSET


class Checklists(Collection[Checklist]):
    """The checklists of the server."""

    def __init__(self) -> None:
        self._lists: dict[str, Checklist] = {}

    async def list(self, at: ResourceContext) -> Sequence[Checklist]:
        """Return all checklists."""
        return tuple(self._lists.values())

    async def create(self, at: ResourceContext, spec: Checklist, job: Job) -> Checklist:
        """Make a checklist."""
        if spec.name in self._lists:
            raise ResourceExists(f"there is a checklist {spec.name!r} already")
        self._lists[spec.name] = spec
        return spec

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        """Remove a checklist."""
        if self._lists.pop(key, None) is None:
            raise ResourceNotFound(f"there is no checklist {key!r}")

    async def advance(self, at: ResourceContext, key: str, job: Job) -> Checklist:
        """Tick the next step off."""
        found = self._lists[key]
        ticked = structs.replace(found, done=min(found.done + 1, len(found.steps)))
        self._lists[key] = ticked
        return ticked


class Remarks(Collection[Remark]):
    """The remarks on VMs, by host and UUID."""

    def __init__(self) -> None:
        self._remarks: dict[tuple[str, str], dict[str, Remark]] = {}

    async def list(self, at: ResourceContext) -> Sequence[Remark]:
        """Return the remarks on a VM."""
        return tuple(self._of(at).values())

    async def create(self, at: ResourceContext, spec: Remark, job: Job) -> Remark:
        """Write one."""
        if spec.name in self._of(at):
            raise ResourceExists(f"there is a remark {spec.name!r} already")
        self._of(at)[spec.name] = spec
        return spec

    async def change(self, at: ResourceContext, key: str, change: RemarkChange, job: Job) -> Remark:
        """Write another text."""
        found = self._of(at).get(key)
        if found is None:
            raise ResourceNotFound(f"there is no remark {key!r}")
        changed = found if change.text is UNSET else structs.replace(found, text=change.text)
        self._of(at)[key] = changed
        return changed

    async def delete(self, at: ResourceContext, key: str, job: Job) -> None:
        """Remove one."""
        if self._of(at).pop(key, None) is None:
            raise ResourceNotFound(f"there is no remark {key!r}")

    def _of(self, at: ResourceContext) -> dict[str, Remark]:
        return self._remarks.setdefault((at.host, at.vm.uuid if at.vm else ""), {})


CHECKLISTS = ResourceType(
    name="checklists",
    singular="checklist",
    title="Checklists",
    item=Checklist,
    create=Checklist,
    delete=True,
    served_by=Checklists(),
    rights=Rights(write="checklists", roles={"checklists": ("operator",)}),
    actions=(ResourceAction(name="advance", title="Tick the next step off", answer=Checklist),),
    columns=("name", "done"),
    examples=(Checklist("upgrade", ("snapshot", "reboot"), 1),),
)

REMARKS = ResourceType(
    name="remarks",
    singular="remark",
    title="Remarks",
    parent=VMS,
    item=Remark,
    create=Remark,
    change=RemarkChange,
    delete=True,
    served_by=Remarks(),
    rights=Rights(write="metadata"),
)


@hookimpl
def virtumancer_resources() -> Sequence[ResourceType[Any, Any, Any]]:
    """Offer both."""
    return [CHECKLISTS, REMARKS]
