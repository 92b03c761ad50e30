"""One bulk call for one chunk of VMs, with as much in it as may be asked for just now."""

from virtumancer_libvirt.binding.connection import ASKED, VCPUS, Record, VirConnect
from virtumancer_libvirt.vms.bulk import Look
from virtumancer_libvirt.vms.chunks import Chunk

__all__ = ["look_at"]


def look_at(node: VirConnect, look: Look, chunk: Chunk, groups: int) -> list[Record]:
    """Read these groups of statistics, and mark the VMs that could not be asked: a call to them hangs, or works."""
    if chunk.counts_vcpus:
        groups |= VCPUS
    if not look.asking:
        groups &= ~ASKED
    records = node.records_of(chunk.uuids, groups)
    if look.hanging or node.asks_qemu:
        for record in records:
            record.unanswered = node.unanswered(record)
    return records
