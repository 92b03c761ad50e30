"""The hooks of one plugin, called through pluggy: with a manager of its own, so nobody's failure is shared."""

import difflib
import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import Any, cast

import pluggy

from virtumancer import hookspecs
from virtumancer.plugins.loading.refusal import PluginRefused, described

__all__ = ["PluginHooks"]


class PluginHooks:
    """What a plugin's hooks return, checked as far as is the same for all of them."""

    def __init__(self, name: str, plugin: ModuleType) -> None:
        self._name = name
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        try:
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginRefused("validate", _explain(plugin, error)) from error

    def has(self, hook: str) -> bool:
        """Say whether the plugin implements this hook."""
        return bool(self._caller(hook).get_hookimpls())

    def items(self, hook: str, config: object) -> Sequence[Any]:
        """Call a hook that returns a list or tuple; empty when the plugin does not implement it."""
        return [item for result in self._call("collect", hook, config=config) for item in self._sequence(hook, result)]

    def single(self, phase: str, hook: str) -> Any:
        """Call a hook that returns one thing."""
        result = self._call(phase, hook)
        self._refuse_coroutine(phase, hook, result)
        return result

    def _call(self, phase: str, hook: str, **arguments: object) -> Any:
        try:
            return self._caller(hook)(**arguments)
        except BaseException as error:  # whatever a plugin raises must stay its own trouble
            raise PluginRefused(phase, f"{hook} raised {described(error)}") from error

    def _caller(self, hook: str) -> Any:
        return getattr(self._manager.hook, hook)

    def _sequence(self, hook: str, result: Any) -> Sequence[Any]:
        self._refuse_coroutine("collect", hook, result)
        if not isinstance(result, list | tuple):
            raise PluginRefused("collect", f"{hook} returned {type(result).__name__}, a list or tuple is needed")
        return cast("Sequence[Any]", result)

    def _refuse_coroutine(self, phase: str, hook: str, result: Any) -> None:
        if inspect.iscoroutine(result):
            result.close()
            raise PluginRefused(phase, f"{hook} is async: a hook of plugin {self._name!r} must be a plain function")


def _explain(plugin: ModuleType, error: Exception) -> str:
    """Say which hook is wrong, and which one may have been meant."""
    known = [name for name in dir(hookspecs) if name.startswith("virtumancer_")]
    marked = [n for n in dir(plugin) if hasattr(getattr(plugin, n, None), f"{hookspecs.PROJECT}_impl")]
    for name in marked:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; hooks are: {', '.join(known)}"
            return f"there is no hook {name!r}{hint}"
    return " ".join(str(error).split())
