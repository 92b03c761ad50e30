"""The parts of VM definitions that were read before, kept until an event says that they changed."""

from collections.abc import Iterable, Sequence

from virtumancer_libvirt.vms.definition import Definition

__all__ = ["DefinitionCache"]


class DefinitionCache:
    """Definitions by UUID. Until `trust`, as long as no events tell about changes, it never holds anything."""

    def __init__(self) -> None:
        self._trusted = False
        self._clock = 0
        self._definitions: dict[str, Definition] = {}
        self._changed_at: dict[str, int] = {}
        self._all_changed_at = 0

    def trust(self) -> None:
        """Keep definitions from now on: every change will be told by an event."""
        self._trusted = True

    def look(self, uuids: Sequence[str]) -> tuple[dict[str, Definition], int]:
        """Return those of all VMs that are still true, and the time to hand to `store` for what is read from now on.

        What belongs to VMs that are gone is dropped.
        """
        self._clock += 1
        there = set(uuids)
        self._definitions = {uuid: kept for uuid, kept in self._definitions.items() if uuid in there}
        self._changed_at = {uuid: at for uuid, at in self._changed_at.items() if uuid in there}
        return dict(self._definitions), self._clock

    def known(self, uuids: Iterable[str]) -> dict[str, Definition]:
        """Return those that are still true."""
        return {uuid: self._definitions[uuid] for uuid in uuids if uuid in self._definitions}

    def store(self, uuid: str, definition: Definition, began: int) -> None:
        """Keep what was read, unless it changed since the reading began: then it may be the old or the new one.

        What may change without an event is not kept.
        """
        if definition.memory_only_here:
            return
        if self._trusted and self._changed_at.get(uuid, 0) < began and self._all_changed_at < began:
            self._definitions[uuid] = definition

    def invalidate(self, uuid: str) -> None:
        """Forget one VM, and refuse what is being read about it now."""
        self._definitions.pop(uuid, None)
        self._clock += 1
        self._changed_at[uuid] = self._clock

    def invalidate_all(self) -> None:
        """Forget everything: events were missed."""
        self._definitions.clear()
        self._changed_at.clear()
        self._clock += 1
        self._all_changed_at = self._clock
