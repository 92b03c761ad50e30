"""Finds the plugin that its author works on, installed or not, by its folder or name."""

import importlib.util
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from msgspec import Struct

from virtumancer.errors import UsageError

__all__ = ["Target", "find_target", "make_findable"]

GROUP = "virtumancer.plugins"


class Target(Struct, frozen=True):
    """A plugin: its `name`, its `module`, where its source is, and what has to be on Python's path to find it.

    `installed` says that its entry point is there by itself.
    """

    name: str
    module: str
    source: Path
    path: Path
    installed: bool


def find_target(package: str) -> Target:
    """Find a plugin by the folder of its package, its name, or that of its module. Raises `UsageError`."""
    folder = Path(package)
    if folder.is_dir():
        return _in_folder(folder.resolve())
    for entry in entry_points(group=GROUP):
        if package in (entry.name, entry.module):
            return _of_module(entry.name, entry.module, installed=True)
    return _of_module(package.removeprefix("virtumancer_").replace("_", "-"), package, installed=False)


def make_findable(target: Target, folder: Path) -> None:
    """Write what `pip install` would have written, into a folder that will be on Python's path."""
    information = folder / f"{target.module.partition('.')[0]}-0.dist-info"
    information.mkdir(parents=True)
    name = information.name.removesuffix("-0.dist-info")
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n", encoding="utf-8")
    (information / "entry_points.txt").write_text(f"[{GROUP}]\n{target.name} = {target.module}\n", encoding="utf-8")


def _in_folder(folder: Path) -> Target:
    file = folder / "pyproject.toml"
    try:
        project: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}; name the folder of a plugin's package") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: {error}") from error
    named: dict[str, str] = project.get("project", {}).get("entry-points", {}).get(GROUP, {})
    if len(named) != 1:
        raise UsageError(f'{file} names {len(named)} plugins; write one below [project.entry-points."{GROUP}"]')
    [(name, module)] = named.items()
    top = module.partition(":")[0].partition(".")[0]
    path = next((place for place in (folder, folder / "src") if _is_there(place, top)), None)
    if path is None:
        raise UsageError(f"{file} names the module {top}, which is neither in {folder} nor in its src")
    installed = any((entry.name, entry.value) == (name, module) for entry in entry_points(group=GROUP))
    return Target(name, module, folder, path, installed)


def _is_there(folder: Path, module: str) -> bool:
    return (folder / module).is_dir() or (folder / f"{module}.py").is_file()


def _of_module(name: str, module: str, *, installed: bool) -> Target:
    top = module.partition(":")[0].partition(".")[0]
    try:
        found = importlib.util.find_spec(top)
    except ValueError:
        found = None
    origin = None if found is None else found.origin
    if origin is None:
        names = ", ".join(sorted(entry.name for entry in entry_points(group=GROUP)))
        raise UsageError(
            f"there is no plugin, module or folder {module!r}: name the folder of the plugin's package, or one that is "
            f"installed: {names}"
        )
    file = Path(origin)
    source = file.parent if file.name == "__init__.py" else file
    return Target(name, module, source, source.parent, installed)
