"""Shows the effective configuration as TOML, with secrets masked."""

import json
import re
from collections.abc import Mapping
from typing import cast

import msgspec

from virtumancer.config.tables.config import Config
from virtumancer.masking import mask_data, mask_url

__all__ = ["describe"]


def describe(config: Config) -> str:
    """Return the configuration as a TOML document; passwords and tokens in it are replaced."""
    tables = cast("dict[str, dict[str, object]]", msgspec.to_builtins(config))
    hosts = cast("list[dict[str, object]]", tables.pop("hosts"))
    plugins = cast("dict[str, dict[str, object]]", tables["plugins"].pop("tables"))
    tables["database"]["url"] = mask_url(config.database.url)
    parts = [_table(f"[{name}]", content) for name, content in tables.items()]
    parts += [_table(f"[plugins.{_key(name)}]", content) for name, content in plugins.items()]
    parts += [_table("[[hosts]]", {**host, "uri": mask_url(str(host["uri"]))}) for host in hosts]
    return "\n".join(parts)


def _table(header: str, content: Mapping[str, object]) -> str:
    masked = cast("dict[str, object]", mask_data(content))
    lines = [
        f"# {key} is not set" if value is None else f"{_key(key)} = {_value(value)}" for key, value in masked.items()
    ]
    return "\n".join([header, *lines, ""])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name)


def _value(value: object) -> str:
    """Write one value; TOML's strings, numbers and booleans look as in JSON."""
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in items) + " }" if items else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in cast("list[object]", value)) + "]"
    if isinstance(value, str):
        # JSON leaves DEL as it is, which TOML does not allow.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return str(value).lower() if isinstance(value, bool) else str(value)
