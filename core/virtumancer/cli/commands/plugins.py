"""`virtumancer plugins`: which there are, and why one is not used."""

import os
import sys
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from virtumancer.cli.options import ConfigFile, JSONOutput
from virtumancer.cli.output import log_quietly, say, table
from virtumancer.cli.tables import say_json
from virtumancer.config import load_config
from virtumancer.contracts import PluginInfo, PluginState

__all__ = ["plugins", "provides"]


def plugins(
    *,
    config: ConfigFile = None,
    json: JSONOutput = False,
    lock: Annotated[
        bool, Parameter(help="Print the lock that freezes this set of plugins; see plugins.lock.", negative=())
    ] = False,
) -> None:
    """List the plugins: state, what they provide, and why one is not used."""
    # Loading plugins imports all they need, which `--help` should not wait for.
    from virtumancer.http.routes import reserved_names  # noqa: PLC0415
    from virtumancer.plugins import load_configured_plugins  # noqa: PLC0415
    from virtumancer.plugins.loading.discovery import find_candidates  # noqa: PLC0415
    from virtumancer.plugins.loading.lockfile import lock_of, write_lock  # noqa: PLC0415

    settings = load_config(config, os.environ, {})
    log_quietly(settings)
    # A new lock is about what is installed, not about what an earlier one lets in.
    wanted = msgspec.structs.replace(settings.plugins, lock=None) if lock else settings.plugins
    loaded = load_configured_plugins(wanted, reserved_names())
    infos = loaded.infos
    for doubt in loaded.doubts:
        sys.stderr.write(f"virtumancer: warning: {doubt}\n")
    if lock:
        say(write_lock(lock_of(infos, find_candidates({}))))
        return
    if json:
        say_json(infos)
        return
    rows: list[tuple[str, ...]] = [("NAME", "STATE", "VERSION", "PROVIDES")]
    rows += [(info.name, info.state.value, info.version or "-", provides(info)) for info in infos]
    say(table(rows))


def provides(info: PluginInfo) -> str:
    """Say what a plugin adds, or why it is not used."""
    if info.state is not PluginState.ACTIVE:
        return f"({info.phase}: {info.reason})" if info.phase else f"({info.reason})"
    parts: dict[str, Any] = {
        "drivers": info.drivers,
        "actions": info.actions,
        "actions on hosts": info.host_actions,
        "collectors": info.collectors,
        "consoles": info.consoles,
        "listeners": info.listeners,
        "authenticators": info.authenticators,
        "abilities": info.abilities,
        "lifespans": info.lifespans,
        "routes": info.routes,
        "mounts": info.mounts,
        "resources": info.resources,
        "events": info.event_types,
    }
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in parts.items() if names) or "nothing"
