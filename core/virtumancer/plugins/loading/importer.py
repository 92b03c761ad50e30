"""Imports a plugin through stevedore, one at a time so that no neighbour's failure is in the way."""

from importlib.metadata import EntryPoint
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stevedore import ExtensionManager

from virtumancer.contracts import PluginState
from virtumancer.plugins.loading.discovery import GROUP, Candidate
from virtumancer.plugins.loading.distributions import Distributions
from virtumancer.plugins.loading.provenance import brought
from virtumancer.plugins.loading.refusal import PluginRefused, described

__all__ = ["import_plugin"]

if TYPE_CHECKING:
    Manager = ExtensionManager[Any]
else:  # not generic in every version that will do
    Manager = ExtensionManager


class _One(Manager):
    """Loads the entry point that it is given, and no other of its name."""

    def __init__(self, entry: EntryPoint, errors: list[BaseException]) -> None:
        self._entry = entry

        def failed(_manager: object, _entry: object, error: BaseException) -> None:
            errors.append(error)

        super().__init__(GROUP, on_load_failure_callback=failed)

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry]


def import_plugin(candidate: Candidate) -> ModuleType:
    """Return the module that an entry point names. Raises `PluginRefused` with what is in the way and the cure."""
    if candidate.entry is None:
        raise PluginRefused("resolve", f"{candidate.name} = {candidate.module} is no entry point")
    errors: list[BaseException] = []
    plugins: list[Any] = []
    try:
        plugins = [extension.plugin for extension in _One(candidate.entry, errors)]
    except AssertionError as error:  # the one exception that stevedore does not hand to its call-back
        errors.append(error)
    if errors:
        raise _refusal(candidate, errors[0]) from errors[0]
    plugin: ModuleType = plugins[0]
    return plugin


def _refusal(candidate: Candidate, error: BaseException) -> PluginRefused:
    top = candidate.module.partition(":")[0].partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and error.name == top:
        return _absence(candidate, top)
    return PluginRefused("import", f"{described(error)}{_cure(candidate, error)}")


def _absence(candidate: Candidate, top: str) -> PluginRefused:
    """Say why a package is not there: a build left it out on purpose, or somebody lost it."""
    came = brought(candidate.entry, Distributions()) if candidate.entry else None
    if came is None:
        return PluginRefused("import", f"the package {top} is not installed", PluginState.ABSENT)
    origin = f"{candidate.distribution} {candidate.version}"
    if came:
        return PluginRefused("import", f"the package {top} is gone, and {origin} brought it: install {origin} again")
    return PluginRefused("", f"the package {top} is not part of this build of {origin}", PluginState.ABSENT)


def _cure(candidate: Candidate, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and candidate.name in candidate.extras:
        return f"; install what it needs with: pip install '{candidate.distribution}[{candidate.name}]'"
    if isinstance(error, ModuleNotFoundError):
        return f"; the plugin is there, but not the module {error.name} that it imports: install that as well"
    if isinstance(error, ImportError) and "partially initialized" in str(error):
        return "; two of its modules import each other: move what both need into a third, or import inside a function"
    return ""
