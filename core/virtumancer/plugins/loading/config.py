"""The table `[plugins.<name>]` against the Struct that its plugin declares."""

from collections.abc import Mapping
from typing import Any

from virtumancer.config import read_struct
from virtumancer.contracts import PluginConfig
from virtumancer.plugins.loading.hooks import PluginHooks
from virtumancer.plugins.loading.refusal import PluginRefused

__all__ = ["configure"]

HOOK = "virtumancer_config"
PHASE = "configure"


def configure(name: str, hooks: PluginHooks, table: Mapping[str, Any]) -> PluginConfig | None:
    """Return the plugin's configuration, None for a plugin without; all that is wrong with the table is one reason."""
    if not hooks.has(HOOK):
        if table:
            raise PluginRefused(PHASE, f"there is a table [plugins.{name}], but this plugin has nothing to configure")
        return None
    struct = hooks.single(PHASE, HOOK)
    if not (isinstance(struct, type) and issubclass(struct, PluginConfig)):
        raise PluginRefused(PHASE, f"{HOOK} returned {struct!r}, a subclass of PluginConfig is needed")
    problems: list[str] = []

    def complain(key: str, reason: str) -> None:
        problems.append(f"plugins.{name}.{key} {reason}" if key else f"plugins.{name}: {reason}")

    try:
        config = read_struct(struct, table, complain)
    except NotImplementedError as error:  # a field of a type that no file can give
        raise PluginRefused(PHASE, f"{struct.__name__}: {error}") from error
    if config is None:
        raise PluginRefused(PHASE, "; ".join(problems))
    return config
