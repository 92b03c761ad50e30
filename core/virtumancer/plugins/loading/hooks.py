"""The hooks of one plugin, called through pluggy: with a manager of its own, so nobody's failure is shared."""

import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any, cast

import pluggy

from virtumancer import hookspecs
from virtumancer.plugins.error_places import place_of_code
from virtumancer.plugins.loading.refusal import PluginRefused, described, nearest, shown

__all__ = ["PluginHooks"]

KNOWN = tuple(name for name in hookspecs.__all__ if name.startswith(f"{hookspecs.PROJECT}_"))
MARK = f"{hookspecs.PROJECT}_impl"
LIST = "a list or tuple is needed, an empty one when there is nothing to add"


class PluginHooks:
    """What a plugin's hooks return, checked as far as is the same for all of them."""

    def __init__(self, name: str, plugin: ModuleType) -> None:
        self._name = name
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        _refuse_unmarked(name, plugin)
        try:
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginRefused("validate", _explain(name, plugin, error)) from error

    def has(self, hook: str) -> bool:
        """Say whether the plugin implements this hook."""
        return bool(self._caller(hook).get_hookimpls())

    def items(self, hook: str, config: object) -> Sequence[Any]:
        """Call a hook that returns a list or tuple; empty when the plugin does not implement it."""
        results = self._call("collect", hook, config=config)
        if not results and self.has(hook):  # pluggy leaves None out
            raise self._wrong("collect", hook, f"returned None: {LIST}. Is a `return` missing?")
        return [item for result in results for item in self._sequence(hook, result)]

    def single(self, phase: str, hook: str) -> Any:
        """Call a hook that returns one thing."""
        result = self._call(phase, hook)
        self._refuse_coroutine(phase, hook, result)
        return result

    def _call(self, phase: str, hook: str, **arguments: object) -> Any:
        try:
            return self._caller(hook)(**arguments)
        except BaseException as error:  # whatever a plugin raises must stay its own trouble
            reason = f"{hook} of plugin {self._name!r} raised {described(error)}"
            raise PluginRefused(phase, reason) from error

    def _caller(self, hook: str) -> Any:
        return getattr(self._manager.hook, hook)

    def _sequence(self, hook: str, result: Any) -> Sequence[Any]:
        self._refuse_coroutine("collect", hook, result)
        if inspect.isgenerator(result):
            raise self._wrong("collect", hook, "is a generator: return a list of what it yields")
        if not isinstance(result, list | tuple):
            raise self._wrong("collect", hook, f"returned {shown(result)}: {LIST}. Put it in brackets")
        return cast("Sequence[Any]", result)

    def _refuse_coroutine(self, phase: str, hook: str, result: Any) -> None:
        if inspect.iscoroutine(result):
            result.close()
            reason = "is async: a hook must be a plain function; what has to be awaited is a method of what it returns"
            raise self._wrong(phase, hook, reason)

    def _wrong(self, phase: str, hook: str, reason: str) -> PluginRefused:
        return PluginRefused(phase, f"{hook} of plugin {self._name!r} {reason}{self._place_of(hook)}")

    def _place_of(self, hook: str) -> str:
        return "".join(place_of_code(found.function.__code__) for found in self._caller(hook).get_hookimpls())


def _refuse_unmarked(name: str, plugin: ModuleType) -> None:
    """Refuse a function that is named as a hook and would never be called."""
    for hook in KNOWN:
        function = getattr(plugin, hook, None)
        if inspect.isfunction(function) and not hasattr(function, MARK):
            reason = f"{hook} of plugin {name!r} is not marked as a hook: write @hookimpl above it"
            raise PluginRefused("validate", reason)


def _explain(name: str, plugin: ModuleType, error: Exception) -> str:
    """Say which hook is wrong, and what may have been meant."""
    for hook in (found for found in dir(plugin) if hasattr(getattr(plugin, found, None), MARK)):
        if hook not in KNOWN:
            return f"plugin {name!r} has a hook {hook!r}, which does not exist; {nearest(hook, KNOWN)}"
        wanted = inspect.signature(getattr(hookspecs, hook)).parameters
        for argument in inspect.signature(getattr(plugin, hook)).parameters:
            if argument not in wanted:
                cure = f"leave it out; {nearest(argument, wanted)}" if wanted else "leave it out"
                return f"{hook} of plugin {name!r} has an argument {argument!r}, which is not handed to it; {cure}"
    return " ".join(str(error).split())
