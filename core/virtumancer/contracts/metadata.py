"""What people write down about hosts and VMs."""

from msgspec import Struct

from virtumancer.contracts.status import Timestamp

__all__ = ["Metadata"]


class Metadata(Struct, frozen=True, kw_only=True):
    """The title, notes and tags that people gave a host or VM; empty until somebody writes some."""

    title: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    """In alphabetical order."""
    changed_at: Timestamp | None = None
    """When it was last changed; null when it never was."""
    changed_by: str = ""
    """By whom, as the audit log names them."""
