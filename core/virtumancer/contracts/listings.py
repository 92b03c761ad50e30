"""Lists over all hosts: VMs with where and when they were seen, in pages."""

from typing import Literal

from msgspec import Struct

from virtumancer.contracts.models import VM
from virtumancer.contracts.status import Timestamp

__all__ = ["ListedVM", "Source", "StaleHost", "VMPage"]

Source = Literal["live", "cache", "store"]


class ListedVM(VM, frozen=True, kw_only=True):
    """A VM of a list over all hosts: the VM, and where, when and how it was seen."""

    host: str
    """The id of its host."""
    observed_at: Timestamp
    """When it was so on its host; with the source `store`, when that was last written."""
    source: Source
    """`live` was asked for with this request, `cache` is the last look, `store` what an earlier process had seen."""
    stale: bool
    """It may have changed since: its host could not be asked, or a change there has not been looked at yet."""
    title: str = ""
    """This and what follows is what people wrote down about it."""
    notes: str = ""
    tags: tuple[str, ...] = ()


class StaleHost(Struct, frozen=True):
    """A host whose VMs are stale, or missing, and why."""

    host: str
    code: str
    """The error behind it; empty when it is only that the host has not been looked at yet."""
    detail: str


class VMPage(Struct, frozen=True):
    """VMs over all hosts; all of them, unless a limit was given."""

    items: tuple[ListedVM, ...]
    next_cursor: str | None
    """The `cursor` of the next page; null on the last one."""
    stale_hosts: tuple[StaleHost, ...]
    """The hosts that could not be asked, also those of which nothing is known."""
