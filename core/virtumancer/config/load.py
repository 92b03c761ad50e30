"""Loads the configuration: flag before environment before file before default, every mistake in one error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from virtumancer.config.places import default_database_url
from virtumancer.config.problems import Problems, did_you_mean
from virtumancer.config.rules import check_rules
from virtumancer.config.sources.layers import ConfigFile, find_file, from_environment, from_flags, read_file
from virtumancer.config.sources.structs import fields_of
from virtumancer.config.sources.values import Raw, WrongValue, convert
from virtumancer.config.tables.config import Config, DeclaredHost, PluginsConfig
from virtumancer.contracts import ConnectSettings

__all__ = ["connect_settings", "load_config"]


def load_config(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Config:
    """Return the effective configuration; raises `ConfigError` that lists everything that is wrong.

    `path` is the file named on the command line, `environ` is searched for `VIRTUMANCER_<TABLE>_<KEY>`, `flags` holds
    values by dotted path as `server.port`.
    """
    problems = Problems()
    kinds = _settings()
    place, named_by = find_file(path, environ)
    file = read_file(place, named_by, problems) if place else ConfigFile()
    hosts = _read_hosts(file, problems)
    tables: dict[str, dict[str, object]] = {
        "database": {"url": default_database_url(environ)},
        "plugins": {"tables": _plugin_tables(file)},
    }
    layers = (
        _from_file(file, kinds, problems),
        from_environment(environ, kinds, problems),
        from_flags(flags, kinds, problems),
    )
    origins: dict[str, str] = {}
    for layer in layers:
        for name, raw in layer.items():
            _store(tables, name, raw, kinds[name], problems)
            origins[name] = raw.origin
    config = msgspec.convert({**tables, "hosts": hosts}, Config)
    check_rules(config, origins, problems)
    problems.raise_if_any()
    return config


def _settings() -> dict[str, Any]:
    """Return the type of every single setting by its dotted path."""
    return {
        f"{table}.{key}": field.type
        for table, info in fields_of(Config).items()
        if table != "hosts"
        for key, field in fields_of(info.type).items()
        if (table, key) != ("plugins", "tables")
    }


def _store(tables: dict[str, dict[str, object]], name: str, raw: Raw, kind: Any, problems: Problems) -> None:
    """Convert a value into its table; a wrong one is reported even when a stronger source overrides it."""
    table, _, key = name.partition(".")
    try:
        tables.setdefault(table, {})[key] = convert(raw, kind)
    except WrongValue as wrong:
        problems.add(raw.origin, name, str(wrong))


def _from_file(file: ConfigFile, kinds: Mapping[str, Any], problems: Problems) -> dict[str, Raw]:
    """Return the file's settings; names nobody knows become problems."""
    found: dict[str, Raw] = {}
    for table, content in file.content.items():
        if table == "hosts":
            continue
        if table not in fields_of(Config):
            valid = kinds if not isinstance(content, dict) else fields_of(Config)
            problems.add(file.origin(table), table, f"is not a known name{did_you_mean(table, valid)}")
        elif not isinstance(content, dict):
            problems.add(file.origin(table), table, f"must be a table: write [{table}] on a line of its own")
        else:
            found |= _from_table(file, table, cast("dict[str, object]", content), kinds, problems)
    return found


def _from_table(
    file: ConfigFile, table: str, content: Mapping[str, object], kinds: Mapping[str, Any], problems: Problems
) -> dict[str, Raw]:
    found: dict[str, Raw] = {}
    for key, value in content.items():
        name = f"{table}.{key}"
        if name in kinds:
            found[name] = Raw(value, file.origin(name))
        elif not (table == "plugins" and isinstance(value, dict)):
            problems.add(file.origin(name), name, f"is not a known key{did_you_mean(name, kinds)}")
    return found


def _plugin_tables(file: ConfigFile) -> dict[str, object]:
    """Return the sub-tables of `[plugins]`; whether each is right, its plugin says."""
    plugins = file.content.get("plugins")
    if not isinstance(plugins, dict):
        return {}
    own = fields_of(PluginsConfig).keys() - {"tables"}
    content = cast("dict[str, object]", plugins)
    return {name: table for name, table in content.items() if isinstance(table, dict) and name not in own}


def _read_hosts(file: ConfigFile, problems: Problems) -> list[dict[str, object]]:
    """Return the hosts that are right; the others become problems."""
    declared = file.content.get("hosts", [])
    if not isinstance(declared, list) or not all(isinstance(item, dict) for item in cast("list[object]", declared)):
        problems.add(file.origin("hosts"), "hosts", "must be tables: write [[hosts]] before each host")
        return []
    hosts: dict[object, dict[str, object]] = {}
    for index, content in enumerate(cast("list[dict[str, object]]", declared)):
        where = f"hosts[{index}]"
        host = _read_host(file, where, content, problems)
        if host.get("id") in hosts:
            problems.add(file.origin(f"{where}.id"), f"{where}.id", f'another host has the id "{host["id"]}" already')
        elif host:
            hosts[host["id"]] = host
    return list(hosts.values())


def _read_host(file: ConfigFile, where: str, content: Mapping[str, object], problems: Problems) -> dict[str, object]:
    host: dict[str, object] = {}
    fields = fields_of(DeclaredHost)
    for key, value in content.items():
        name = f"{where}.{key}"
        if key not in fields:
            problems.add(file.origin(name), name, f"is not a known key{did_you_mean(key, fields)}")
            continue
        try:
            host[key] = convert(Raw(value, ""), fields[key].type)
        except WrongValue as wrong:
            problems.add(file.origin(name), name, str(wrong))
    missing = [key for key, field in fields.items() if field.required and key not in content]
    for key in missing:
        problems.add(file.origin(where), f"{where}.{key}", "is missing")
    return host if "id" in host and "uri" in host else {}


def connect_settings(config: Config) -> ConnectSettings:
    """Return what drivers need for every connection."""
    return ConnectSettings(
        connect_timeout=config.sessions.connect_timeout,
        call_timeout=config.sessions.call_timeout,
        slow_call_timeout=config.sessions.slow_call_timeout,
        ssh_config=config.ssh.config or None,
        ssh_known_hosts=config.ssh.known_hosts,
        ssh_agent=config.ssh.agent,
        keepalive_interval=config.ssh.keepalive_interval,
        keepalive_count=config.ssh.keepalive_count,
    )
