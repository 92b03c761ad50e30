"""Claims on VMs: whoever needs a VM alone has it alone, and the next one learns who that is."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from msgspec import Struct

from virtumancer.contracts import OperationTarget, VMUse
from virtumancer.errors import Busy

__all__ = ["Claims", "busy", "busy_item"]


class _Claim(Struct, frozen=True, eq=False):
    """What goes on on a VM; `operation` is empty for a request that is no operation."""

    use: VMUse
    action: str
    operation: str


class Claims:
    """Knows what this process does with which VM, by host and UUID."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], list[_Claim]] = {}

    def take(self, target: OperationTarget, use: VMUse, action: str, operation: str = "") -> Callable[[], None]:
        """Claim the VM of a target; returns what gives it up. Raises `Busy`.

        Work that breaks in claims nothing and asks nobody; what goes on meanwhile sees that the VM has changed.
        """
        if not target.vm or use is VMUse.ANYTIME:
            return lambda: None
        place = (target.host, target.vm)
        there = self._claims.get(place, [])
        for other in there:
            if VMUse.ALONE in {use, other.use}:
                raise busy(target, other.action, other.operation)
        claim = _Claim(use, action, operation)
        self._claims[place] = [*there, claim]

        def give_up() -> None:
            left = [other for other in self._claims.get(place, []) if other is not claim]
            if left:
                self._claims[place] = left
            else:
                self._claims.pop(place, None)

        return give_up

    @contextmanager
    def held(self, target: OperationTarget, use: VMUse, action: str, operation: str = "") -> Generator[None]:
        """Claim the VM of a target as long as the context is open. Raises `Busy`."""
        give_up = self.take(target, use, action, operation)
        try:
            yield
        finally:
            give_up()


def busy(target: OperationTarget, action: str, operation: str) -> Busy:
    """Say who has a VM."""
    facts = {"operation": operation} if operation else {}
    which = f" (operation {operation})" if operation else ""
    name = target.name or target.vm
    return Busy(
        f"{action}{which} is at work on VM {name!r} of host {target.host!r}; nothing was done, try again when it has "
        "ended",
        action=action,
        **facts,
    )


def busy_item(target: OperationTarget) -> Busy:
    """Say that somebody changes a resource."""
    which = f"{target.key[:80]!r} of {target.resource}" + (f" on host {target.host!r}" if target.host else "")
    return Busy(f"somebody changes {which} just now; nothing was done, try again when that has ended")
