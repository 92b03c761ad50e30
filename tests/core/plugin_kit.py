"""Plugins made on the spot, and loading them."""

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

from virtumancer import hookimpl
from virtumancer.contracts import ActionContext, NoParams, PluginInfo, VMAction, VMRef
from virtumancer.plugins import Plugins, load_plugins


async def nothing(context: ActionContext, vm: VMRef, params: NoParams) -> None:
    pass


def action(name: str) -> VMAction:
    return VMAction(name=name, title=name, description=name, run=nothing)


def plugin(**members: object) -> ModuleType:
    """A plugin module with these members; functions named as hooks become their implementations."""
    module = ModuleType("a_plugin")
    for name, member in members.items():
        marked = hookimpl(member) if callable(member) and name.startswith("virtumancer_") else member
        setattr(module, name, marked)
    return module


def load(
    tables: dict[str, dict[str, Any]] | None = None,
    timeout: float = 10.0,
    reserved: Collection[str] = (),
    mounts: Mapping[str, Mapping[str, str]] | None = None,
    **plugins: ModuleType,
) -> Plugins:
    """Load these plugins by name, beside the built-in ones that need nothing."""
    return load_plugins(
        disabled=["libvirt", "power", "suspend"],
        extra=plugins,
        tables=tables,
        load_timeout=timeout,
        reserved=reserved,
        mounts=mounts,
    )


def info(plugins: Plugins, name: str) -> PluginInfo:
    return next(info for info in plugins.infos if info.name == name)
