"""What the API answers beside the objects that drivers return; clients decode it with the same Structs."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from virtumancer.contracts.actions import ActionOffer
from virtumancer.contracts.listings import ListedVM
from virtumancer.contracts.metadata import Metadata
from virtumancer.contracts.models import HardwareInfo, VMState, VMStats
from virtumancer.contracts.stats import Sample
from virtumancer.contracts.status import PluginState, Timestamp

__all__ = [
    "ActionResult",
    "Build",
    "ConsoleSessionInfo",
    "ConsoleTicket",
    "ContentReceived",
    "FailingPlugin",
    "Health",
    "HostSamples",
    "OnBusy",
    "ResourceActionInfo",
    "ResourceTypeInfo",
    "VMConsole",
    "VMDetail",
    "VMPart",
]

OnBusy = Literal["share", "refuse", "takeover"]
"""What happens when somebody has a console: look together, be refused, or send the others away."""
VMPart = Literal["actions", "consoles", "hardware", "stats"]
"""What `?include=` adds to a VM."""


class FailingPlugin(Struct, frozen=True):
    """A plugin that is not, or not wholly, in use although it should be, and why."""

    name: str
    state: PluginState
    phase: str
    reason: str


class Build(Struct, frozen=True):
    """How a build calls itself that is not the project's own."""

    name: str
    version: str


class Health(Struct, frozen=True):
    """That the server answers, whatever its hosts and plugins do."""

    ok: bool
    version: str
    hosts: Mapping[str, int]
    """How many hosts are in which state; states that none is in are left out."""
    plugins: Mapping[str, int]
    """How many plugins are in which state."""
    failing: tuple[FailingPlugin, ...]
    """The plugins that are not, or not wholly, in use although they should be."""
    build: Build | None = None
    """Who made this build, null for the project's own. Since 1.3."""


class HostSamples(Struct, frozen=True):
    """What one collector last said about a host; `error` says why there is nothing newer."""

    collector: str
    observed_at: Timestamp | None
    samples: tuple[Sample, ...]
    error: str = ""


class ActionResult(Struct, frozen=True):
    """What came of an action that was asked for with `"if_already": "ok"`, or as an operation."""

    already: bool
    """The VM was in the state wanted, and nothing was done."""
    state: VMState
    """Its state, as it was seen last."""


class VMConsole(Struct, frozen=True):
    """A console that a VM has and some plugin can carry; `reason` says why it cannot be opened now."""

    kind: str
    """What `POST …/consoles` wants to know."""
    path: str
    """The path of its WebSocket."""
    available: bool
    """It can be opened now."""
    reason: str
    shareable: bool
    """Several viewers can look at once."""
    sessions: int
    """How many sessions there are on it."""
    devices: tuple[str, ...] = ()
    """Those of this kind that `device` can choose, where there are several; the first is taken otherwise."""


class VMDetail(ListedVM, frozen=True, kw_only=True):
    """One VM: its entry in the list over all hosts, what people wrote down about it, and where there is more."""

    metadata: Metadata
    """Who changed it last, and when, beside title, notes and tags."""
    links: Mapping[str, str]
    """The paths of the VM, by its UUID, and of what there is of it: `self`, `host`, `stats`, `hardware` …"""
    actions: tuple[ActionOffer, ...] | UnsetType = UNSET
    """This and what follows is there when `include` names it."""
    consoles: tuple[VMConsole, ...] | UnsetType = UNSET
    hardware: HardwareInfo | UnsetType = UNSET
    stats: VMStats | UnsetType = UNSET


class ConsoleTicket(Struct, frozen=True):
    """The answer to `POST …/consoles`: a WebSocket URL that works once, until `expires_at`."""

    kind: str
    url: str
    path: str
    expires_at: Timestamp


class ConsoleSessionInfo(Struct, frozen=True):
    """A session as the API shows it."""

    id: str
    host_id: str
    vm_name: str
    vm_uuid: str
    kind: str
    caller: str
    view_only: bool
    started_at: Timestamp
    channels: int
    waiting: bool = False
    """It waits with `follow` for its VM to start."""


class ContentReceived(Struct, frozen=True):
    """What arrived of the content of an item."""

    received: int
    """How many bytes."""
    sha256: str
    """The SHA-256 of these, in hexadecimal."""


class ResourceActionInfo(Struct, frozen=True, kw_only=True):
    """An action on the items of a resource; `params` and `answer` are JSON Schemas, null for nothing."""

    name: str
    title: str
    description: str
    right: str
    destructive: bool
    params: Mapping[str, Any]
    answer: Mapping[str, Any] | None


class ResourceTypeInfo(Struct, frozen=True, kw_only=True):
    """A type of resource: where its items are, what can be done with them, and who may."""

    name: str
    singular: str
    title: str
    plugin: str
    path: str
    """Below `/api/v1`, with what stands for parents in braces: `/hosts/{host}/vms/{vm}/snapshots`."""
    parent: str | None
    key: str
    """Which member of an item stands in its path."""
    singleton: bool
    """There is one at the path itself, and no list."""
    rights: Mapping[str, str]
    """What can be done, and the right that it needs."""
    columns: tuple[str, ...]
    """What a table shows."""
    item: Mapping[str, Any]
    """This and what follows are JSON Schemas; null for what there is not."""
    create: Mapping[str, Any] | None
    plan: Mapping[str, Any] | None
    change: Mapping[str, Any] | None
    query: Mapping[str, Any] | None
    options: Mapping[str, Any] | None
    actions: tuple[ResourceActionInfo, ...]
