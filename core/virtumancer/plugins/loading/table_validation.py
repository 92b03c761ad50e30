"""Checks the tables of a plugin: models and migrations that are there, and names that are the plugin's own."""

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

from virtumancer.contracts import PluginTables
from virtumancer.plugins.loading.refusal import PluginRefused, described

__all__ = ["app_label", "check_tables"]

HOOK = "virtumancer_tables"


def app_label(plugin: str) -> str:
    """Return what Tortoise calls the tables of this plugin."""
    return plugin.replace("-", "_").replace(".", "_").lower()


def check_tables(plugin: str, tables: object) -> None:
    """Refuse modules that are not there, and tables that could be somebody else's."""
    if not isinstance(tables, PluginTables):
        raise PluginRefused("collect", f"{HOOK} returned {tables!r}, a PluginTables is needed")
    label = app_label(plugin)
    if label == "core" or "__" in label:
        raise PluginRefused("register", f"a plugin named {plugin!r} can have no tables: give it another name")
    models = _imported("models", tables.models)
    migrations = _imported("migrations", tables.migrations)
    if not hasattr(migrations, "__path__"):
        raise PluginRefused("register", f"{HOOK}: migrations = {tables.migrations!r} is a module, not a package")
    for name, model in _models(models):
        table = str(model._meta.db_table)  # noqa: SLF001 - Tortoise documents it as the way to describe a model
        if not table.startswith(f"{label}__"):
            hint = f'write `table = "{label}__{table or name.lower()}"` in its Meta'
            raise PluginRefused("register", f"{HOOK}: the table {table!r} of {name} is not the plugin's own: {hint}")


def _imported(what: str, module: str) -> ModuleType:
    try:
        return import_module(module)
    except BaseException as error:  # whatever a plugin raises must stay its own trouble
        raise PluginRefused(
            "register", f"{HOOK}: {what} = {module!r} cannot be imported: {described(error)}"
        ) from error


def _models(module: ModuleType) -> list[tuple[str, Any]]:
    from tortoise.models import Model  # noqa: PLC0415 - only who has tables waits for the ORM

    return [
        (name, found)
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, Model) and found.__module__ == module.__name__
    ]
