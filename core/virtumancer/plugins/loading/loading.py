"""Takes one plugin in, up to what it provides: in a thread of its own, since anything in it may hang."""

import threading
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from virtumancer.contracts import (
    AbilityAdapter,
    Authenticator,
    ConsoleTransport,
    EventListener,
    HostAction,
    HostDriver,
    Lifespan,
    Mount,
    PluginConfig,
    PluginEventType,
    PluginTables,
    ResourceType,
    RetirementWarning,
    Route,
    StaticFiles,
    StatsCollector,
    VMAction,
)
from virtumancer.plugins.loading.config import configure
from virtumancer.plugins.loading.discovery import Candidate
from virtumancer.plugins.loading.extension_points import POINTS
from virtumancer.plugins.loading.hook_results import taken
from virtumancer.plugins.loading.hooks import PluginHooks
from virtumancer.plugins.loading.importer import import_plugin
from virtumancer.plugins.loading.refusal import PluginRefused, described
from virtumancer.plugins.loading.table_validation import check_tables
from virtumancer.plugins.loading.validation import check_contract

__all__ = ["Provided", "take_in"]

DOING = {
    "import": "being imported",
    "validate": "having its hooks looked at",
    "configure": "having its configuration read",
    "collect": "answering its hooks",
    "register": "having its parts looked at",
}


class Provided(Struct):
    """What one plugin's hooks returned; `warnings` are what it uses that is retired."""

    config: PluginConfig | None = None
    drivers: list[HostDriver] = field(default_factory=list[HostDriver])
    actions: list[VMAction] = field(default_factory=list[VMAction])
    host_actions: list[HostAction] = field(default_factory=list[HostAction])
    collectors: list[StatsCollector] = field(default_factory=list[StatsCollector])
    consoles: list[ConsoleTransport] = field(default_factory=list[ConsoleTransport])
    listeners: list[EventListener] = field(default_factory=list[EventListener])
    authenticators: list[Authenticator] = field(default_factory=list[Authenticator])
    routes: list[Route | StaticFiles] = field(default_factory=list[Route | StaticFiles])
    mounts: list[Mount] = field(default_factory=list[Mount])
    event_types: list[PluginEventType[Any]] = field(default_factory=list[PluginEventType[Any]])
    lifespans: list[Lifespan] = field(default_factory=list[Lifespan])
    tables: PluginTables | None = None
    abilities: list[AbilityAdapter] = field(default_factory=list[AbilityAdapter])
    resources: list[ResourceType[Any, Any, Any]] = field(default_factory=list[ResourceType[Any, Any, Any]])
    warnings: tuple[str, ...] = ()


def take_in(candidate: Candidate, table: Mapping[str, Any], timeout: float, reserved: Collection[str]) -> Provided:
    """Import, configure and ask a plugin; nothing of it is in use yet. Raises `PluginRefused`.

    One that takes longer than `timeout` seconds is given up: its thread goes on, and nothing it does counts any more.
    Names that are `reserved` stand for something else below the path of a VM.
    """
    intake = _Intake(candidate, table, reserved)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RetirementWarning)
        thread = threading.Thread(target=intake.run, name=f"plugin {candidate.name}", daemon=True)
        thread.start()
        thread.join(timeout)
        seen = tuple(caught)
    retirements = _retirements(seen)
    if thread.is_alive():
        doing = DOING.get(intake.phase, intake.phase)
        raise PluginRefused(intake.phase, f"it did not finish within {timeout:g} s while {doing}")
    if intake.refusal:
        raise intake.refusal
    intake.provided.warnings = retirements
    return intake.provided


class _Intake:
    """The work of the thread, and where it is."""

    def __init__(self, candidate: Candidate, table: Mapping[str, Any], reserved: Collection[str]) -> None:
        self._candidate = candidate
        self._table = table
        self._reserved = reserved
        self.phase = "import"
        self.provided = Provided()
        self.refusal: PluginRefused | None = None

    def run(self) -> None:
        try:
            self._work()
        except PluginRefused as refusal:
            self.refusal = refusal
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises must stay its own trouble
            self.refusal = PluginRefused(self.phase, described(error))
            self.refusal.__cause__ = error

    def _work(self) -> None:
        plugin = self._candidate.plugin or import_plugin(self._candidate)
        self.phase = "validate"
        check_contract(plugin)
        hooks = PluginHooks(self._candidate.name, plugin)
        self.phase = "configure"
        config = configure(self._candidate.name, hooks, self._table)
        self.phase = "collect"
        provided = _collected(self._candidate.name, hooks, config)
        self.phase = "register"
        _check(provided, self._reserved)
        if provided.tables is not None:
            check_tables(self._candidate.name, provided.tables)
        self.provided = provided


def _collected(name: str, hooks: PluginHooks, config: PluginConfig | None) -> Provided:
    provided = Provided(config=config)
    for point in POINTS:
        items = hooks.items(point.hook, config)
        setattr(provided, point.attribute, taken(name, point, items))
    provided.tables = hooks.single("collect", "virtumancer_tables")
    return provided


def _check(provided: Provided, reserved: Collection[str]) -> None:
    for point in POINTS:
        point.check(getattr(provided, point.attribute), reserved)


def _retirements(caught: Iterable[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return what was said about our contracts; other warnings are shown as they would have been."""
    ours: dict[str, None] = {}
    for warning in caught:
        if issubclass(warning.category, RetirementWarning):
            ours[str(warning.message)] = None
        else:
            warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)
    return tuple(ours)
