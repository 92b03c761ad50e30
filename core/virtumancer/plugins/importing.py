"""Imports a plugin through stevedore, one at a time so that no neighbour's failure is in the way."""

from types import ModuleType
from typing import Any, cast

from stevedore import named

from virtumancer.contracts import PluginState
from virtumancer.plugins.candidates import GROUP, Candidate
from virtumancer.plugins.refusal import PluginRefused, described

__all__ = ["import_plugin"]


def import_plugin(candidate: Candidate) -> ModuleType:
    """Return the module that an entry point names. Raises `PluginRefused` with what is in the way and the cure."""
    errors: list[BaseException] = []
    try:
        extensions = _extensions(candidate.name, errors)
    except AssertionError as error:  # the one exception that stevedore does not hand to its call-back
        errors.append(error)
        extensions = []
    if errors:
        raise _refusal(candidate, errors[0]) from errors[0]
    for extension in extensions:
        if extension.entry_point.value == candidate.module:
            return cast("ModuleType", extension.plugin)
    raise PluginRefused("resolve", f"the entry point {candidate.name} = {candidate.module} could not be found again")


def _extensions(name: str, errors: list[BaseException]) -> list[Any]:
    """Border to stevedore, which has no types."""

    def failed(_manager: object, _entry: object, error: BaseException) -> None:
        errors.append(error)

    manager_class: Any = named.NamedExtensionManager
    # It remembers entry points per process, and would not see what was installed since.
    manager_class.ENTRY_POINT_CACHE.pop(GROUP, None)
    return list(manager_class(GROUP, [name], on_load_failure_callback=failed, on_missing_entrypoints_callback=None))


def _refusal(candidate: Candidate, error: BaseException) -> PluginRefused:
    top = candidate.module.partition(":")[0].partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and error.name == top:
        return PluginRefused("import", f"the package {top} is not installed", PluginState.ABSENT)
    return PluginRefused("import", f"{described(error)}{_cure(candidate, error)}")


def _cure(candidate: Candidate, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and candidate.name in candidate.extras:
        return f"; install what it needs with: pip install '{candidate.distribution}[{candidate.name}]'"
    if isinstance(error, ModuleNotFoundError):
        return f"; the plugin is there, but not the module {error.name} that it imports: install that as well"
    if isinstance(error, ImportError) and "partially initialized" in str(error):
        return "; two of its modules import each other: move what both need into a third, or import inside a function"
    return ""
