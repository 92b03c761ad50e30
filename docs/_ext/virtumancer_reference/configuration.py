"""The configuration reference, from the Structs that hold the configuration."""

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import FieldInfo

from virtumancer.cli.commands.serve import serve
from virtumancer.config import Config
from virtumancer.config.sources.layers import ENVIRONMENT_PREFIX
from virtumancer.config.sources.values import expected, unwrap
from virtumancer_reference.markdown import docstring

__all__ = ["configuration", "flags", "settings"]


def configuration() -> str:
    """Write a section for each table, and in it one for each key."""
    return "\n\n".join(_sections())


def settings() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key by its dotted path, with what msgspec knows about it."""
    for table, struct in _tables():
        for field in msgspec.structs.fields(struct):
            yield f"{table}.{field.encode_name}", field


def flags() -> dict[str, str]:
    """Return the flag of each setting that has one, as `virtumancer serve` maps them."""
    tree = ast.parse(inspect.getsource(serve))
    mapping = next(node for node in ast.walk(tree) if isinstance(node, ast.Dict))
    names = [(ast.literal_eval(key), value) for key, value in zip(mapping.keys, mapping.values, strict=True) if key]
    return {path: f"--{value.id.replace('_', '-')}" for path, value in names if isinstance(value, ast.Name)}


def _tables() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for field in msgspec.structs.fields(Config):
        base, _ = unwrap(field.type)
        # `hosts` is an array of tables, all others are one table each.
        yield field.encode_name, base if isinstance(base, type) else base.__args__[0]


def _sections() -> Iterator[str]:
    flag_of = flags()
    for table, struct in _tables():
        several = table == "hosts"
        yield f"## `[[{table}]]`" if several else f"## `[{table}]`"
        yield docstring(struct)
        for field in msgspec.structs.fields(struct):
            path = f"{table}.{field.encode_name}"
            if path == "plugins.tables":
                yield f"### `[plugins.<name>]`\n\n{_meta(field, 'description')}"
            else:
                yield f"### `{path}`\n\n{_entry(path, field, flag_of.get(path), several=several)}"


def _entry(path: str, field: FieldInfo, flag: str | None, *, several: bool) -> str:
    facts = {"Value": expected(field.type), "Default": _default(field)}
    if not several:
        facts["Environment"] = f"`{ENVIRONMENT_PREFIX}{path.replace('.', '_').upper()}`"
    if flag:
        facts["Flag"] = f"`{flag}`"
    return "\n".join([_meta(field, "description"), "", *(f":{name}: {value}" for name, value in facts.items())])


def _default(field: FieldInfo) -> str:
    if field.required:
        return "none: it has to be given"
    shown = _extra(field).get("default")
    if shown is not None:
        return f"`{shown}`"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "not set" if value is None else f"`{msgspec.json.encode(value).decode()}`"


def _meta(field: FieldInfo, name: str) -> str:
    found = [getattr(meta, name) for meta in unwrap(field.type)[1] if getattr(meta, name)]
    if not found:
        raise ValueError(f"the setting {field.encode_name!r} has no {name}, so the reference cannot say what it is for")
    return str(found[-1])


def _extra(field: FieldInfo) -> dict[str, Any]:
    return {key: value for meta in unwrap(field.type)[1] for key, value in (meta.extra or {}).items()}
