"""Consoles: their sessions, limits and ends."""

from typing import Any

from virtumancer.errors.base import Conflict, NotFound, VirtumancerError

__all__ = ["ConsoleBusy", "ConsoleClosed", "ConsoleNotFound", "ConsoleRefused", "TooManyConsoles"]


class ConsoleNotFound(NotFound):
    """The VM has no such console, or there is no session of this id."""

    code = "console-not-found"


class ConsoleBusy(Conflict):
    """Somebody else has this console, and the caller asked not to disturb."""

    code = "console-busy"


class ConsoleClosed(VirtumancerError):
    """The other end of a console is gone."""

    code = "console-closed"


class ConsoleRefused(VirtumancerError):
    """A console ends with this close code; `close_code` is one of `virtumancer.contracts.CloseCode`."""

    code = "console-refused"

    def __init__(self, message: str, *, close_code: int, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.close_code = close_code


class TooManyConsoles(VirtumancerError):
    """There are as many console sessions as the configuration allows."""

    code = "too-many-consoles"
