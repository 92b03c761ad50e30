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


_Place = tuple[str, ...]


class Claims:
    """Knows what this process does with which VM, by host and UUID, and with which item of a resource."""

    def __init__(self) -> None:
        self._claims: dict[_Place, list[_Claim]] = {}

    def take(
        self, target: OperationTarget, use: VMUse, action: str, operation: str = "", item: VMUse = VMUse.SHARED
    ) -> Callable[[], None]:
        """Claim the VM of a target and, for `item`, what of a resource it names; returns what gives them up.

        Work that breaks in claims nothing and asks nobody; what goes on meanwhile sees that the VM has changed. Those
        who share an item wait for one another elsewhere. Raises `Busy`.
        """
        wanted: dict[_Place, _Claim] = {}
        if target.vm and use is not VMUse.ANYTIME:
            wanted[target.host, target.vm] = _Claim(use, action, operation)
        if target.key:
            wanted[target.host, target.vm, target.resource, target.key] = _Claim(item, action, operation)
        for place, claim in wanted.items():
            for other in self._claims.get(place, ()):
                if VMUse.ALONE in {claim.use, other.use}:
                    raise busy(target, other.action, other.operation)
        for place, claim in wanted.items():
            self._claims.setdefault(place, []).append(claim)

        def give_up() -> None:
            for place, claim in wanted.items():
                left = [other for other in self._claims.get(place, ()) if other is not claim]
                if left:
                    self._claims[place] = left
                else:
                    self._claims.pop(place, None)

        return give_up

    @contextmanager
    def held(
        self, target: OperationTarget, use: VMUse, action: str, operation: str = "", item: VMUse = VMUse.SHARED
    ) -> Generator[None]:
        """Claim what `take` does as long as the context is open. Raises `Busy`."""
        give_up = self.take(target, use, action, operation, item)
        try:
            yield
        finally:
            give_up()


def busy(target: OperationTarget, action: str, operation: str) -> Busy:
    """Say who has a VM, or the item of a resource that belongs to none."""
    facts = {"operation": operation} if operation else {}
    which = f" (operation {operation})" if operation else ""
    what = f"VM {(target.name or target.vm)!r}" if target.vm else f"{target.key[:80]!r} of the {target.resource}"
    host = f" of host {target.host!r}" if target.host else ""
    return Busy(
        f"{action}{which} is at work on {what}{host}; nothing was done, try again when it has ended",
        action=action,
        **facts,
    )


def busy_item(target: OperationTarget) -> Busy:
    """Say that somebody changes a resource."""
    which = f"{target.key[:80]!r} of {target.resource}" + (f" on host {target.host!r}" if target.host else "")
    return Busy(f"somebody changes {which} just now; nothing was done, try again when that has ended")
