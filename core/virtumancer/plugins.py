"""Finds plugins with stevedore, calls their hooks with pluggy, and remembers what failed and why."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from types import ModuleType
from typing import Any, cast

import pluggy
import structlog
from msgspec import Struct, field, structs
from stevedore import named

from virtumancer import hookspecs
from virtumancer.config import PluginsConfig
from virtumancer.contracts import (
    ConsoleTransport,
    EventListener,
    HostDriver,
    PluginConfig,
    PluginInfo,
    PluginState,
    Route,
    StaticFiles,
    StatsCollector,
    VMAction,
)
from virtumancer.plugin_candidates import GROUP, Candidate, find_candidates, left_out, warn_of_unknown_names
from virtumancer.plugin_checks import (
    PluginRefused,
    check_action,
    check_contract,
    checked,
    explain_validation,
    instances,
    sequence,
)

__all__ = ["GROUP", "DriverEntry", "Plugins", "load_configured_plugins", "load_plugins"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class DriverEntry(Struct, frozen=True):
    """A driver and the plugin it comes from."""

    plugin: str
    driver: HostDriver


class Plugins(Struct, frozen=True):
    """Everything the plugins provide, each with the name of its owner."""

    infos: tuple[PluginInfo, ...]
    drivers: Mapping[str, DriverEntry]
    """By URI scheme."""
    actions: Mapping[str, tuple[str, VMAction]]
    collectors: Mapping[str, tuple[str, StatsCollector]]
    consoles: Mapping[str, tuple[str, ConsoleTransport]]
    """By route suffix."""
    listeners: Mapping[str, tuple[str, EventListener]] = field(default_factory=dict[str, tuple[str, EventListener]])
    routes: Mapping[str, tuple[Route | StaticFiles, ...]] = field(
        default_factory=dict[str, tuple[Route | StaticFiles, ...]]
    )
    """By plugin."""
    configs: Mapping[str, PluginConfig] = field(default_factory=dict[str, PluginConfig])
    """By plugin; those without a table of their own are not here."""


class _Provided(Struct):
    """What one plugin's hooks returned."""

    drivers: list[HostDriver]
    actions: list[VMAction]
    collectors: list[StatsCollector]
    consoles: list[ConsoleTransport]


def load_configured_plugins(config: PluginsConfig) -> Plugins:
    """Load what is installed, as far as the configuration lets it in."""
    return load_plugins(config.disabled, allowed=config.allowed, safe_mode=config.safe_mode)


def load_plugins(
    disabled: Collection[str] = (),
    extra: Mapping[str, ModuleType] | None = None,
    *,
    allowed: Collection[str] = (),
    safe_mode: bool = False,
) -> Plugins:
    """Load every installed plugin, and the `extra` ones handed over by name.

    Not imported are the `disabled` ones, those that are not `allowed` unless that is empty, and in `safe_mode` all
    that are not built in. A plugin that cannot be used stops nobody: it is listed with its state, phase and reason.
    """
    loader = _Loader()
    candidates = find_candidates(extra or {})
    warn_of_unknown_names(candidates, disabled, allowed)
    for candidate in candidates:
        if reason := left_out(candidate, disabled, allowed, safe_mode):
            loader.note(candidate, PluginState.DISABLED, reason=reason)
        else:
            loader.load(candidate)
    return loader.result()


class _Loader:
    """Takes plugins in one by one, each in its own guard, and rolls back what a refused one began."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._seen: Counter[str] = Counter()
        self._infos: dict[str, PluginInfo] = {}
        self._drivers: dict[str, DriverEntry] = {}
        self._actions: dict[str, tuple[str, VMAction]] = {}
        self._collectors: dict[str, tuple[str, StatsCollector]] = {}
        self._consoles: dict[str, tuple[str, ConsoleTransport]] = {}
        self._kinds: dict[str, str] = {}

    def load(self, candidate: Candidate) -> None:
        try:
            self._refuse_second_of_name(candidate)
            plugin = candidate.plugin or _import(candidate)
            check_contract(plugin)
            self._register(candidate.name, plugin)
            try:
                provided = self._collect(candidate.name, plugin)
                self._adopt(candidate.name, provided)
            except PluginRefused:
                self._manager.unregister(plugin)
                raise
        except PluginRefused as refusal:
            log.warning("plugin not usable", plugin=candidate.name, phase=refusal.phase, reason=refusal.reason)
            self.note(candidate, refusal.state, refusal.phase, refusal.reason)
        else:
            self.note(candidate, PluginState.ACTIVE, provided=provided)

    def note(
        self,
        candidate: Candidate,
        state: PluginState,
        phase: str = "",
        reason: str = "",
        provided: _Provided | None = None,
    ) -> None:
        info = PluginInfo(
            name=candidate.name,
            module=candidate.module,
            distribution=candidate.distribution,
            version=candidate.version,
            state=state,
            phase=phase,
            reason=reason,
        )
        if provided:
            info = structs.replace(
                info,
                drivers=tuple(sorted(s for driver in provided.drivers for s in driver.schemes)),
                actions=tuple(action.name for action in provided.actions),
                collectors=tuple(collector.name for collector in provided.collectors),
                consoles=tuple(transport.suffix for transport in provided.consoles),
            )
        key = candidate.name
        while key in self._infos:
            key += "'"
        self._infos[key] = info

    def result(self) -> Plugins:
        return Plugins(tuple(self._infos.values()), self._drivers, self._actions, self._collectors, self._consoles)

    def _refuse_second_of_name(self, candidate: Candidate) -> None:
        self._seen[candidate.name] += 1
        if self._seen[candidate.name] > 1:
            first = self._infos[candidate.name]
            raise PluginRefused(
                "resolve",
                f"two plugins are named {candidate.name!r}: {first.module} of {first.distribution or '?'} is used, "
                f"{candidate.module} of {candidate.distribution or '?'} is not; remove or rename one",
            )

    def _register(self, name: str, plugin: ModuleType) -> None:
        try:
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise PluginRefused("validate", explain_validation(plugin, error)) from error

    def _collect(self, name: str, plugin: ModuleType) -> _Provided:
        def call(hook: str) -> Iterable[Any]:
            return self._call_hook(name, plugin, hook)

        return _Provided(
            drivers=instances("virtumancer_host_drivers", HostDriver, call),
            actions=checked("virtumancer_vm_actions", VMAction, call),
            collectors=instances("virtumancer_stats_collectors", StatsCollector, call),
            consoles=instances("virtumancer_console_transports", ConsoleTransport, call),
        )

    def _call_hook(self, name: str, plugin: ModuleType, hook: str) -> Iterable[Any]:
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        try:
            results = self._manager.subset_hook_caller(hook, others)(config=None)
        except (Exception, SystemExit) as error:
            raise PluginRefused("collect", f"{hook} raised {type(error).__name__}: {error}") from error
        return [item for result in results for item in sequence(name, hook, result)]

    def _adopt(self, name: str, provided: _Provided) -> None:
        """Take everything over, or nothing when one name is taken already."""
        for action in provided.actions:
            check_action(action)
        drivers = {s: DriverEntry(name, d) for d in provided.drivers for s in d.schemes}
        actions = {a.name: (name, a) for a in provided.actions}
        collectors = {c.name: (name, c) for c in provided.collectors}
        consoles = {t.suffix: (name, t) for t in provided.consoles}
        kinds = {t.kind: name for t in provided.consoles}
        self._refuse_taken(name, "URI scheme", drivers, {s: e.plugin for s, e in self._drivers.items()})
        self._refuse_taken(name, "action", actions, {n: e[0] for n, e in self._actions.items()})
        self._refuse_taken(name, "stats collector", collectors, {n: e[0] for n, e in self._collectors.items()})
        self._refuse_taken(name, "console suffix", consoles, {n: e[0] for n, e in self._consoles.items()})
        self._refuse_taken(name, "console kind", kinds, self._kinds)
        self._drivers |= drivers
        self._actions |= actions
        self._collectors |= collectors
        self._consoles |= consoles
        self._kinds |= kinds

    @staticmethod
    def _refuse_taken(name: str, what: str, new: Iterable[str], owners: Mapping[str, str]) -> None:
        for item in new:
            if item in owners:
                raise PluginRefused(
                    "register", f"{what} {item!r} is claimed by both plugins {owners[item]!r} and {name!r}"
                )


def _import(candidate: Candidate) -> ModuleType:
    """Import through stevedore, one plugin at a time so that no neighbour's failure is in the way."""
    errors: list[BaseException] = []
    try:
        extensions = _extensions(candidate.name, errors)
    except SystemExit as error:
        raise PluginRefused("import", f"the plugin called sys.exit({error.code!r}) while it was imported") from error
    except AssertionError as error:  # the one exception that stevedore does not hand to its call-back
        errors.append(error)
        extensions = []
    if errors:
        raise _import_refusal(candidate, errors[0]) from errors[0]
    for extension in extensions:
        if extension.entry_point.value == candidate.module:
            return cast("ModuleType", extension.plugin)
    raise PluginRefused("resolve", f"the entry point {candidate.name} = {candidate.module} could not be found again")


def _extensions(name: str, errors: list[BaseException]) -> list[Any]:
    """Border to stevedore, which has no types."""

    def failed(_manager: object, _entry: object, error: BaseException) -> None:
        errors.append(error)

    manager_class: Any = named.NamedExtensionManager
    # It remembers entry points per process, and would not see what was installed since.
    manager_class.ENTRY_POINT_CACHE.pop(GROUP, None)
    return list(manager_class(GROUP, [name], on_load_failure_callback=failed, on_missing_entrypoints_callback=None))


def _import_refusal(candidate: Candidate, error: BaseException) -> PluginRefused:
    top = candidate.module.partition(":")[0].partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and error.name == top:
        return PluginRefused("import", f"the package {top} is not installed", PluginState.ABSENT)
    cure = ""
    if isinstance(error, ModuleNotFoundError) and candidate.name in candidate.extras:
        cure = f"; install what it needs with: pip install '{candidate.distribution}[{candidate.name}]'"
    return PluginRefused("import", f"{type(error).__name__}: {error}{cure}")
