"""The frozen set of plugins: written by `virtumancer plugins --lock`, held to with `plugins.lock`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from virtumancer.contracts import VERSION, PluginInfo, PluginState
from virtumancer.errors import ConfigError, UsageError
from virtumancer.plugins.loading.discovery import Candidate
from virtumancer.plugins.loading.distributions import Distributions
from virtumancer.plugins.loading.provenance import Fingerprints

__all__ = ["LockedPlugin", "PluginLock", "lock_of", "read_lock", "write_lock"]

LOCKABLE = (PluginState.ACTIVE, PluginState.DISABLED, PluginState.ABSENT)
AGAIN = "write the lock again with `virtumancer plugins --lock`"


class LockedPlugin(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a plugin came from when the set was frozen."""

    module: str
    distribution: str
    version: str
    files: str
    """Hash of what the distribution brought; empty for a plugin without one."""


class PluginLock(Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen set: the version of the contracts, and the plugins by name.

    `left_out` are those that had an entry point when the set was frozen, and were not to be in it: `absent` when their
    package was not there, `disabled` when the configuration said so.
    """

    contracts: str
    plugins: dict[str, LockedPlugin]
    left_out: dict[str, Literal["absent", "disabled"]] = field(default_factory=dict[str, Literal["absent", "disabled"]])

    def refusal(self, candidate: Candidate, prints: Fingerprints) -> str:
        """Say why a plugin is not the one that was locked; empty when it is."""
        locked = self.plugins.get(candidate.name)
        if locked is None and candidate.name in self.left_out:
            left_out = self.left_out[candidate.name]
            return f"left out on purpose: it was {left_out} when the lock was written (plugins.lock); else {AGAIN}"
        if locked is None:
            return f"not in the lock (plugins.lock); to let it in, {AGAIN}"
        if (candidate.module, candidate.distribution, candidate.version) != (
            locked.module,
            locked.distribution,
            locked.version,
        ):
            return f"the lock has {_words(locked)}, installed is {candidate.origin}; install that one, or {AGAIN}"
        if prints.of(candidate.entry) != locked.files:
            return f"the files of {candidate.origin} are not those that were locked; install it again, or {AGAIN}"
        return ""

    def missing(self, names: Sequence[str]) -> Mapping[str, LockedPlugin]:
        """Return what is locked, and not among these names of installed plugins."""
        return {name: plugin for name, plugin in self.plugins.items() if name not in names}


def lock_of(infos: Sequence[PluginInfo], candidates: Sequence[Candidate]) -> PluginLock:
    """Freeze the set of plugins that are in use. Raises `UsageError` when one is neither in use nor left out."""
    broken = [info for info in infos if info.state not in LOCKABLE]
    if broken:
        first = broken[0]
        raise UsageError(
            f"plugin {first.name!r} is {first.state.value} ({first.reason}); "
            "a set is frozen when each of its plugins works, is named in plugins.disabled or was never there"
        )
    used = {info.name for info in infos if info.state is PluginState.ACTIVE}
    absent = {info.name for info in infos if info.state is PluginState.ABSENT} - used
    disabled = {info.name for info in infos if info.state is PluginState.DISABLED} - used - absent
    active = {(i.name, i.module, i.distribution, i.version) for i in infos if i.state is PluginState.ACTIVE}
    prints = Fingerprints(Distributions())
    return PluginLock(
        VERSION,
        {
            c.name: LockedPlugin(c.module, c.distribution, c.version, prints.of(c.entry))
            for c in candidates
            if (c.name, c.module, c.distribution, c.version) in active
        },
        {name: "absent" if name in absent else "disabled" for name in sorted(absent | disabled)},
    )


def write_lock(lock: PluginLock) -> str:
    """Write a lock as TOML."""
    parts = [f"contracts = {json.dumps(lock.contracts)}"]
    if lock.left_out:
        left_out = "\n".join(f"{json.dumps(name)} = {json.dumps(why)}" for name, why in sorted(lock.left_out.items()))
        parts.append(f"[left_out]\n{left_out}")
    if not lock.plugins:
        parts.append("[plugins]")
    for name, plugin in sorted(lock.plugins.items()):
        keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in msgspec.structs.asdict(plugin).items())
        parts.append(f"[plugins.{json.dumps(name)}]\n{keys}")
    return "\n\n".join(parts)


def read_lock(path: str) -> PluginLock:
    """Read a lock. Raises `ConfigError` when there is none, or the file is something else."""
    try:
        return msgspec.toml.decode(Path(path).expanduser().read_bytes(), type=PluginLock)
    except OSError as error:
        raise ConfigError(f"plugins.lock: {path} cannot be read: {error.strerror}; {AGAIN}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"plugins.lock: {path} is no lock of plugins: {error}; {AGAIN}") from error


def _words(plugin: LockedPlugin) -> str:
    return f"{plugin.module} of {plugin.distribution or 'no distribution'} {plugin.version}".rstrip()
