"""A VM as an entry of a list over hosts, and what can be asked of such lists."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from operator import attrgetter

from msgspec import Struct, structs

from virtumancer.contracts import VM, Metadata
from virtumancer.contracts.listings import ListedVM, Source
from virtumancer.query.fields import Field, fields_of
from virtumancer.query.query import ListSchema
from virtumancer.query.sort import SortKey

__all__ = ["Observation", "VMListItem", "all_vms_shape", "entry_fields", "listed", "said_fields", "vms_shape"]

SAID = frozenset({"title", "notes", "tags"})


class Observation(Struct, frozen=True):
    """Where, when and how VMs were seen; those of one look share it."""

    host: str
    observed_at: datetime
    source: Source
    stale: bool


class VMListItem(Struct, frozen=True, gc=False):
    """A VM of a list over hosts."""

    vm: VM
    place: Observation
    metadata: Metadata


def listed(entry: VMListItem) -> ListedVM:
    """Return an entry as clients get it."""
    said = entry.metadata
    return ListedVM(
        **structs.asdict(entry.vm), **structs.asdict(entry.place), title=said.title, notes=said.notes, tags=said.tags
    )


def said_fields(attribute: str) -> dict[str, Field]:
    """Return the fields of metadata that lists have."""
    return {name: field for name, field in fields_of(Metadata, attribute).items() if name in SAID}


@cache
def entry_fields() -> Mapping[str, Field]:
    """Return the fields of an entry by the names that clients know."""
    return fields_of(VM, "vm") | fields_of(Observation, "place") | said_fields("metadata")


@cache
def all_vms_shape() -> ListSchema:
    """Return what can be asked of a list over all hosts. Its key is what stays while a VM is renamed or changed."""
    fields = entry_fields()
    return ListSchema(fields, [SortKey(fields["host"]), SortKey(fields["uuid"])], listed)


@cache
def vms_shape() -> ListSchema:
    """Return what can be asked of the VMs of one host, which are shown as they are without the rest of the entry."""
    fields = entry_fields()
    return ListSchema(fields, [SortKey(fields["uuid"])], attrgetter("vm"))
