"""Which VMs a selector means: looked up on their hosts now, as far as the caller may read them."""

from collections.abc import Callable

from msgspec import Struct

from virtumancer.contracts import OperationOutcome
from virtumancer.errors import InvalidValue
from virtumancer.query.filter import compile_filter
from virtumancer.services.auth import Permissions, Right, check_tags
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.vms.list_item import VMListItem, entry_fields
from virtumancer.services.vms.listing import VMListingService

__all__ = ["SelectedVM", "Selection", "Selector", "check_selector", "select"]


class Selector(Struct, frozen=True, forbid_unknown_fields=True):
    """Which VMs are meant: those that fit all that is given; at least one of it has to be."""

    hosts: tuple[str, ...] = ()
    """On these hosts; all hosts without it."""
    names: tuple[str, ...] = ()
    """With these names."""
    uuids: tuple[str, ...] = ()
    """With these UUIDs; with `names` as well, those of both."""
    tags: tuple[str, ...] = ()
    """With all of these tags; those of their hosts do not count."""
    filter: str = ""
    """That fit this filter, as in `GET /vms`."""


class SelectedVM(Struct, frozen=True):
    """A VM as the selector meets it."""

    host: str
    uuid: str
    name: str


class Selection(Struct, frozen=True):
    """The VMs that are meant, hosts by turns, and what was named and is not there."""

    vms: tuple[SelectedVM, ...]
    missing: tuple[OperationOutcome, ...]


def check_selector(selector: Selector) -> None:
    """Raise `InvalidValue` for a selector that says nothing, since it would mean everything, and `InvalidFilter`."""
    check_tags(selector.tags, "selector.tags")
    if not selector.hosts and not _fits_of(selector):
        given = ", ".join(Selector.__struct_fields__)
        raise InvalidValue(f"say which VMs are meant, by at least one of: {given}", field="selector")


async def select(selector: Selector, hosts: HostsService, vms: VMListingService, access: Permissions) -> Selection:
    """Look at all hosts that may be meant, at the same time, and choose from what they have.

    A host that cannot be asked, or does not answer in time, is known by what was last seen.
    """
    named = list(dict.fromkeys(selector.hosts or hosts.ids()))
    readable = [host for host in named if host in hosts.ids() and access.within_host(Right.READ, host)]
    found = await (await vms.list(access, fresh=True, hosts=readable)).all()
    fits = _fits_of(selector)
    chosen = {host: list[SelectedVM]() for host in readable}
    for entry in sorted(found, key=lambda entry: entry.vm.db_id):
        if all(fit(entry) for fit in fits):
            chosen[entry.place.host].append(SelectedVM(entry.place.host, entry.vm.uuid, entry.vm.name))
    missing = [_missing("host-not-found", host=host) for host in named if host not in readable]
    seen = [vm for group in chosen.values() for vm in group]
    names, uuids = {vm.name for vm in seen}, {vm.uuid for vm in seen}
    missing += [_missing("vm-not-found", name=name) for name in dict.fromkeys(selector.names) if name not in names]
    missing += [_missing("vm-not-found", uuid=uuid) for uuid in dict.fromkeys(selector.uuids) if uuid not in uuids]
    return Selection(tuple(_by_turns(list(chosen.values()))), tuple(missing))


def _fits_of(selector: Selector) -> list[Callable[[VMListItem], bool]]:
    """Return what a VM has to fit; another criterion is one more of these."""
    fits: list[Callable[[VMListItem], bool]] = []
    if selector.names or selector.uuids:
        names, uuids = frozenset(selector.names), frozenset(selector.uuids)
        fits.append(lambda entry: entry.vm.name in names or entry.vm.uuid in uuids)
    if selector.tags:
        tags = frozenset(selector.tags)
        fits.append(lambda entry: tags.issubset(entry.metadata.tags))
    if selector.filter:
        fits.append(compile_filter(selector.filter, entry_fields(), "selector.filter"))
    return fits


def _by_turns(groups: list[list[SelectedVM]]) -> list[SelectedVM]:
    """Take one of each host, then the next of each, so that a slow host does not keep the others waiting."""
    longest = max((len(group) for group in groups), default=0)
    return [group[index] for index in range(longest) for group in groups if index < len(group)]


def _missing(code: str, *, host: str = "", name: str = "", uuid: str = "") -> OperationOutcome:
    what = f"host {host!r}" if host else f"VM {name or uuid!r} among those that are meant"
    return OperationOutcome(host=host, vm=uuid, name=name, outcome=code, detail=f"there is no {what}")
