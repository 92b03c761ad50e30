"""How the VMs of a host are shared out over bulk calls, so that no reply gets too big for libvirt's protocol.

A reply over 32 MiB ends the connection. What a VM costs in one grows with its vCPUs when libvirt is asked for them, at
about 2 KiB each. And the shorter a reply, the shorter the time for which it is turned into Python's objects in one go.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from virtumancer_libvirt.vms.definition import Definition

__all__ = ["Chunk", "chunks_of"]

_VMS = 100
_VCPUS = 2048
"""At most so many vCPUs in one reply that tells of each."""
_UNKNOWN_VCPUS = 256
"""What a VM counts for whose definition is not known: more than nearly all have."""


class Chunk(Struct, frozen=True):
    """VMs for one bulk call: `vcpus` are the numbers that are known already, of all of them or of none.

    Those of other VMs may stand there too.
    """

    uuids: tuple[str, ...]
    vcpus: Mapping[str, int] = {}

    @property
    def counts_vcpus(self) -> bool:
        """Whether the call has to ask for the number of vCPUs."""
        return not self.vcpus


def chunks_of(uuids: Sequence[str], definitions: Mapping[str, Definition | None]) -> list[Chunk]:
    """Share VMs out; the number of vCPUs is asked for only where it may change without an event."""
    known = {uuid: found.vcpu for uuid in uuids if (found := definitions.get(uuid)) and found.vcpus_fixed}
    counted = [uuid for uuid in uuids if uuid not in known]
    fixed = tuple(known)
    chunks = [Chunk(fixed[start : start + _VMS], known) for start in range(0, len(fixed), _VMS)]
    if counted:
        chunks += [Chunk(part) for part in _parts([(uuid, _weight(definitions.get(uuid))) for uuid in counted])]
    return chunks


def _weight(definition: Definition | None) -> int:
    return (definition.max_vcpus if definition else 0) or _UNKNOWN_VCPUS


def _parts(weighted: Iterable[tuple[str, int]]) -> Iterator[tuple[str, ...]]:
    """Cut where a part would get too many VMs or too many vCPUs."""
    part: list[str] = []
    total = 0
    for uuid, weight in weighted:
        if part and (len(part) == _VMS or total + weight > _VCPUS):
            yield tuple(part)
            part, total = [], 0
        part.append(uuid)
        total += weight
    if part:
        yield tuple(part)
