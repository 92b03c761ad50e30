"""Why VMs do not run on though they are active, and since when as far as that was seen."""

from datetime import UTC, datetime

from virtumancer.contracts import VMChange

__all__ = ["Pauses", "pause_reason"]

_REASONS = (
    "unknown",
    "user",
    "migration",
    "save",
    "dump",
    "ioerror",
    "watchdog",
    "from-snapshot",
    "shutting-down",
    "snapshot",
    "crashed",
    "starting-up",
    "postcopy",
    "postcopy-failed",
)
"""By libvirt's numbers, `virDomainPausedReason`."""

_BEGIN = frozenset({VMChange.SUSPENDED, VMChange.CRASHED})
_END = frozenset({VMChange.RESUMED, VMChange.STARTED, VMChange.STOPPED})


def pause_reason(number: int) -> str:
    """Name why libvirt says that a VM is paused; a reason newer than us is unknown."""
    return _REASONS[number] if 0 <= number < len(_REASONS) else _REASONS[0]


class Pauses:
    """Notes when events told that a VM stopped running on; one from before is not known."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}

    def note(self, uuid: str, change: VMChange) -> None:
        """Take note of an event."""
        if change in _BEGIN:
            self._since[uuid] = datetime.now(UTC)
        elif change in _END:
            self._since.pop(uuid, None)

    def forget(self) -> None:
        """Forget all: events were missed."""
        self._since.clear()

    def since(self, uuid: str) -> datetime | None:
        """Return when it was seen to stop, None when it was not."""
        return self._since.get(uuid)
