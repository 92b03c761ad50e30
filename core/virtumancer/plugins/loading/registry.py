"""What the plugins provide together, each thing with its owner, and what became of every plugin."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from types import ModuleType
from typing import Any

import structlog
from msgspec import Struct, field, structs

from virtumancer.config import PluginsConfig
from virtumancer.contracts import (
    ABILITIES,
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
    PluginInfo,
    PluginState,
    PluginTables,
    ResourceType,
    Route,
    StaticFiles,
    StatsCollector,
    VMAction,
    ability_name,
    lineage_of,
)
from virtumancer.plugins.loading.discovery import Candidate, doubts, find_candidates
from virtumancer.plugins.loading.distributions import Distributions
from virtumancer.plugins.loading.event_validation import event_types_of, refuse_told
from virtumancer.plugins.loading.extension_points import POINTS
from virtumancer.plugins.loading.loading import Provided, take_in
from virtumancer.plugins.loading.lockfile import PluginLock, read_lock
from virtumancer.plugins.loading.mount_validation import mount_doubts, placed, refuse_taken
from virtumancer.plugins.loading.refusal import PluginRefused
from virtumancer.plugins.loading.selection import Rules, judge, judge_by_rules

__all__ = ["DriverEntry", "Plugins", "load_configured_plugins", "load_plugins"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

Routes = tuple[Route | StaticFiles, ...]
AnyResource = ResourceType[Any, Any, Any]
LOAD_TIMEOUT = 10.0


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
    authenticators: Mapping[str, tuple[str, Authenticator]] = field(
        default_factory=dict[str, tuple[str, Authenticator]]
    )
    routes: Mapping[str, Routes] = field(default_factory=dict[str, Routes])
    """By plugin."""
    mounts: Mapping[str, tuple[str, Mount]] = field(default_factory=dict[str, tuple[str, Mount]])
    """By path, as the operator wants them."""
    event_types: Mapping[str, tuple[str, PluginEventType[Any]]] = field(
        default_factory=dict[str, tuple[str, PluginEventType[Any]]]
    )
    """By what they are called on the wire, beginning with their plugin's name."""
    lifespans: Mapping[str, tuple[str, Lifespan]] = field(default_factory=dict[str, tuple[str, Lifespan]])
    tables: Mapping[str, PluginTables] = field(default_factory=dict[str, PluginTables])
    """By plugin."""
    resources: Mapping[str, tuple[str, AnyResource]] = field(default_factory=dict[str, tuple[str, AnyResource]])
    """By name."""
    configs: Mapping[str, PluginConfig] = field(default_factory=dict[str, PluginConfig])
    """By plugin; those that declare none are not here."""
    doubts: tuple[str, ...] = ()
    """What the configuration says of plugins that are not there: probably a misspelt name."""

    host_actions: Mapping[str, tuple[str, HostAction]] = field(default_factory=dict[str, tuple[str, HostAction]])
    abilities: Mapping[str, tuple[str, AbilityAdapter]] = field(default_factory=dict[str, tuple[str, AbilityAdapter]])
    """What plugins give to the connections of others, in the order in which they are asked."""

    def known_abilities(self) -> tuple[str, ...]:
        """Name the abilities that hosts may have, as far as the plugins name them: drivers may have others."""
        kinds: list[Any] = [*ABILITIES.values(), *(adapter.kind for _, adapter in self.abilities.values())]
        kinds += [action.needs for _, action in self.actions.values()]
        kinds += [action.needs for _, action in self.host_actions.values()]
        kinds += [type_.served_by for _, type_ in self.resources.values()]
        return tuple(sorted({ability_name(kind) for kind in kinds if isinstance(kind, type)}))

    def rights(self) -> frozenset[str]:
        """Return the rights that actions, routes and resources of the plugins need."""
        mounted = (mount.content for _, mount in self.mounts.values() if not mount.public)
        contents = (*mounted, *(route for routes in self.routes.values() for route in routes))
        routes = (content for content in contents if isinstance(content, Route))
        on_vms = (action.permission for _, action in self.actions.values())
        on_hosts = (action.permission for _, action in self.host_actions.values())
        named = frozenset((*on_vms, *on_hosts)).union(route.permission for route in routes)
        named |= {event_type.right for _, event_type in self.event_types.values()}
        return named.union(*(_rights_of(type_) for _, type_ in self.resources.values()))

    def roles(self) -> Mapping[str, frozenset[str]]:
        """Return the rights of resources that roles hold beside their own, by role; those of their parents too."""
        found: dict[str, frozenset[str]] = {}
        for one in {id(one): one for _, type_ in self.resources.values() for one in lineage_of(type_)}.values():
            for right, holders in one.rights.roles.items():
                for role in holders:
                    found[role] = found.get(role, frozenset()) | {right}
        return found


def load_configured_plugins(config: PluginsConfig, reserved: Collection[str]) -> Plugins:
    """Load what is installed, as far as the configuration lets it in. Raises `ConfigError` for a bad lock."""
    return load_plugins(
        config.disabled,
        allowed=config.allowed,
        safe_mode=config.safe_mode,
        tables=config.tables,
        lock=read_lock(config.lock) if config.lock else None,
        load_timeout=config.load_timeout,
        reserved=reserved,
        mounts=config.mounts,
    )


def load_plugins(
    disabled: Collection[str] = (),
    extra: Mapping[str, ModuleType] | None = None,
    *,
    allowed: Collection[str] = (),
    safe_mode: bool = False,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    lock: PluginLock | None = None,
    load_timeout: float = LOAD_TIMEOUT,
    reserved: Collection[str] = (),
    mounts: Mapping[str, Mapping[str, str]] | None = None,
) -> Plugins:
    """Load every installed plugin, and the `extra` ones handed over by name; `tables` are their configurations.

    Not imported are the `disabled` ones, those that are not `allowed` unless that is empty, in `safe_mode` all that are
    not built in, those that differ from the `lock`, and those whose name is not theirs alone. A plugin that cannot be
    used stops nobody: it is listed with its state, phase and reason. One that takes longer than `load_timeout` seconds
    is given up. The `reserved` names below the path of a VM are those of the routes that are there without plugins.
    `mounts` are the paths that the operator gives to what plugins mount, by plugin and name; an empty one is a refusal.
    """
    tables = tables or {}
    installed = Distributions()
    candidates = find_candidates(extra or {}, installed)
    found = doubts(candidates, disabled, allowed, tables)
    loader = _Loader(tables, load_timeout, reserved, found, mounts or {})
    rules = Rules(disabled, allowed, safe_mode, lock)
    for verdict in judge(candidates, rules, installed):
        if verdict.loaded:
            loader.load(verdict.candidate)
        else:
            loader.refuse(verdict.candidate, PluginRefused(verdict.phase, verdict.reason, verdict.state))
    if lock:
        loader.note_missing(lock, candidates, rules)
    return loader.result()


class _Loader:
    """Takes plugins in one by one, each in its own guard: all that it provides, or nothing."""

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Any]],
        timeout: float,
        reserved: Collection[str],
        found: tuple[str, ...],
        mounts: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._tables = tables
        self._timeout = timeout
        self._reserved = reserved
        self._doubts = found
        self._mounts = mounts
        self._asked: dict[str, list[str]] = {}
        self._told_by: dict[str, tuple[str, PluginEventType[Any] | None]] = {}
        self._infos: dict[str, PluginInfo] = {}
        self._found: dict[str, dict[str, tuple[str, Any]]] = {point.attribute: {} for point in POINTS}
        self._owners: dict[str, dict[str, str]] = {}
        self._routes: dict[str, Routes] = {}
        self._tables_of_plugins: dict[str, PluginTables] = {}
        self._configs: dict[str, PluginConfig] = {}
        for doubt in found:
            log.warning(doubt)

    def load(self, candidate: Candidate) -> None:
        try:
            provided = take_in(candidate, self._tables.get(candidate.name, {}), self._timeout, self._reserved)
            self._adopt(candidate.name, provided)
        except PluginRefused as refusal:
            self.refuse(candidate, refusal)
        else:
            self.note(candidate, PluginState.ACTIVE, provided=provided)

    def refuse(self, candidate: Candidate, refusal: PluginRefused) -> None:
        """Note a plugin that is not used, and tell unless that was meant: then it failed in no phase."""
        if refusal.phase:
            log.warning("plugin not usable", plugin=candidate.name, phase=refusal.phase, reason=refusal.reason)
        self.note(candidate, refusal.state, refusal.phase, refusal.reason)

    def note(
        self,
        candidate: Candidate,
        state: PluginState,
        phase: str = "",
        reason: str = "",
        provided: Provided | None = None,
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
        key = candidate.name
        while key in self._infos:
            key += "'"
        self._infos[key] = _with_provided(info, provided) if provided else info

    def note_missing(self, lock: PluginLock, candidates: Iterable[Candidate], rules: Rules) -> None:
        for name, locked in lock.missing([candidate.name for candidate in candidates]).items():
            wanted = f"{locked.distribution} {locked.version}".strip()
            reason = f"it is in the lock (plugins.lock), but not installed: install {wanted or locked.module}"
            missing = Candidate(name, locked.module, locked.distribution, locked.version)
            verdict = judge_by_rules(missing, rules)
            if verdict.loaded:
                self.refuse(missing, PluginRefused("resolve", reason, PluginState.ABSENT))
            else:
                self.refuse(missing, PluginRefused(verdict.phase, verdict.reason, verdict.state))

    def result(self) -> Plugins:
        found = {name: things for name, things in self._found.items() if name not in ("drivers", "routes")}
        active = {info.name for info in self._infos.values() if info.state is PluginState.ACTIVE}
        unknown = tuple(mount_doubts(self._mounts, self._asked, active))
        for doubt in unknown:
            log.warning(doubt)
        return Plugins(
            _used_first(self._infos.values()),
            drivers={scheme: DriverEntry(*entry) for scheme, entry in self._found["drivers"].items()},
            routes=self._routes,
            tables=self._tables_of_plugins,
            configs=self._configs,
            doubts=(*self._doubts, *unknown),
            **found,
        )

    def _adopt(self, name: str, provided: Provided) -> None:
        """Take everything over, or nothing when one name is taken already."""
        self._asked[name] = [mount.name for mount in provided.mounts]
        provided.mounts = placed(name, provided.mounts, self._mounts)
        refuse_taken(name, provided.mounts, self._found["mounts"], self._reserved)
        told = event_types_of(name, provided.event_types, provided.resources)
        refuse_told(name, told, self._told_by)
        self._claim(name, provided)
        self._told_by |= {type_: (name, event_type) for type_, event_type in told.items()}
        for point in POINTS:
            for item in getattr(provided, point.attribute):
                for key in point.key(item):
                    self._found[point.attribute][f"{name}.{key}" if point.own else key] = name, item
        if provided.tables is not None:
            self._tables_of_plugins[name] = provided.tables
        if provided.routes:
            self._routes[name] = tuple(provided.routes)
        if provided.config is not None:
            self._configs[name] = provided.config

    def _claim(self, name: str, provided: Provided) -> None:
        """Note all names that a plugin takes. Raises `PluginRefused` for one that is there twice."""
        claims = [
            (what, taken, f"{name}.{taken}" if point.own else taken)
            for point in POINTS
            for what, taken in point.taken(getattr(provided, point.attribute))
        ]
        for (what, item, _), times in Counter(claims).items():
            if times > 1:
                raise PluginRefused("register", f"{what} {item!r} is there {times} times in plugin {name!r}")
        for what, item, full in claims:
            owner = self._owners.get(what, {}).get(full)
            if owner is not None:
                reason = f"{what} {item!r} is claimed by both plugins {owner!r} and {name!r}"
                raise PluginRefused("register", reason)
        for what, _, full in claims:
            self._owners.setdefault(what, {})[full] = name


def _used_first(infos: Iterable[PluginInfo]) -> tuple[PluginInfo, ...]:
    """Of several plugins with one name, put the one that is used before those that are only named."""
    places: dict[str, int] = {}
    for info in infos:
        places.setdefault(info.name, len(places))
    return tuple(sorted(infos, key=lambda info: (places[info.name], info.state is not PluginState.ACTIVE)))


def _with_provided(info: PluginInfo, provided: Provided) -> PluginInfo:
    for warning in provided.warnings:
        log.warning("a plugin uses what is retired", plugin=info.name, reason=warning)
    things = {point.attribute: point.described(getattr(provided, point.attribute)) for point in POINTS}
    return structs.replace(info, warnings=provided.warnings, **things)


def _rights_of(type_: AnyResource) -> frozenset[str]:
    rights = type_.rights
    return frozenset(right for right in (rights.read, rights.write, *rights.verbs.values(), *rights.roles) if right)
