"""Who asks for something, and what they may do, as plugins learn it."""

from collections.abc import Callable

from msgspec import Struct

__all__ = ["Caller"]


def _nothing(_right: str, _host: str, _vm: str) -> bool:
    return False


class Caller(Struct, frozen=True):
    """Whoever asks: `actor` as in the audit log. One that was made without `allowed` may do nothing."""

    actor: str = ""
    allowed: Callable[[str, str, str], bool] = _nothing
    """Says whether they have a right now: on a host, on the VM of a UUID, or on everything when both are empty."""

    def may(self, right: str, host: str = "", vm: str = "") -> bool:
        """Say whether they have a right at this moment: on everything, on a host, or on the VM of a UUID."""
        return self.allowed(right, host, vm)
