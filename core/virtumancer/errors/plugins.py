"""Plugins: unknown, failing, or at rest."""

from typing import Any

from virtumancer.errors.base import NotFound, VirtumancerError

__all__ = ["FunctionFailed", "PluginDegraded", "PluginFailed", "PluginNotFound"]


class PluginNotFound(NotFound):
    """No plugin has this name."""

    code = "plugin-not-found"


class PluginFailed(VirtumancerError):
    """A plugin raised an error that is not one of ours; the message names the plugin."""

    code = "plugin-failed"


class FunctionFailed(PluginFailed):
    """A function that one plugin handed to another raised `error`; whoever handed it over is given that."""

    code = "function-failed"

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"a function that was handed over raised {type(error).__name__}")
        self.error = error


class PluginDegraded(VirtumancerError):
    """What a plugin provides keeps failing on this host; `retry_after` is seconds until it may be tried again."""

    code = "plugin-degraded"

    def __init__(self, message: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after
