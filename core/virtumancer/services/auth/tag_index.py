"""The tags that hosts and VMs have now, as far as rights hang on them."""

from collections import Counter
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet

__all__ = ["TagIndex"]

NONE: frozenset[str] = frozenset()


class TagIndex:
    """Knows the tags of each host and VM in memory; whoever keeps them in the store says what they are.

    `roles` are the rights that roles hold beside their own, for the resources of plugins: like tags, what grants name.
    """

    def __init__(self, roles: Mapping[str, frozenset[str]] | None = None) -> None:
        self.roles = roles or {}
        self._tags: dict[tuple[str, str], frozenset[str]] = {}
        self._on_vms: dict[str, dict[str, set[str]]] = {}
        self._removals: Counter[str] = Counter()

    def of(self, host: str, uuid: str = "") -> frozenset[str]:
        """Return the tags of a VM, or of the host itself."""
        return self._tags.get((host, uuid), NONE)

    def on_vms(self, host: str) -> AbstractSet[str]:
        """Return the tags that at least one VM of a host has."""
        vms = self._on_vms.get(host)
        return vms.keys() if vms else NONE

    def vms_with(self, host: str, tag: str) -> Collection[str]:
        """Return the UUIDs of the VMs of a host that have a tag."""
        return self._on_vms.get(host, {}).get(tag, NONE)

    def removals(self, tag: str) -> int:
        """Say how often this tag was taken from something."""
        return self._removals[tag]

    def set(self, host: str, uuid: str, tags: frozenset[str]) -> bool:
        """Note which tags a VM or host has from now on; says whether it had one that is gone."""
        before = self.of(host, uuid)
        self._tags[host, uuid] = tags
        if uuid:
            vms = self._on_vms.setdefault(host, {})
            for tag in tags - before:
                vms.setdefault(tag, set()).add(uuid)
            for tag in before - tags:
                vms[tag].discard(uuid)
                if not vms[tag]:
                    del vms[tag]
        self._removals.update(before - tags)
        return bool(before - tags)
