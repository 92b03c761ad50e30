"""Why a plugin cannot be used."""

from virtumancer.contracts import PluginState

__all__ = ["PluginRefused", "described"]


class PluginRefused(Exception):
    """A plugin cannot be used; says in which phase and why."""

    def __init__(self, phase: str, reason: str, state: PluginState = PluginState.FAILED) -> None:
        super().__init__(reason)
        self.phase = phase
        self.reason = reason
        self.state = state


def described(error: BaseException) -> str:
    """Say what a plugin raised, in one line."""
    if isinstance(error, SystemExit):
        return f"SystemExit: it called sys.exit({error.code!r})"
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - its own text is a plugin's code too
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
