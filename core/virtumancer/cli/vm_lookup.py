"""Which VM a person means: NAME, HOST/NAME or UUID, on a host that was said or on any."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct

from virtumancer.errors import UsageError, VMNotFound

if TYPE_CHECKING:
    from virtumancer.client import AsyncClient

__all__ = ["Target", "filter_on", "find_vm", "find_vms", "targets_on"]


class Target(Struct, frozen=True):
    """A VM on its host."""

    host: str
    uuid: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"


async def find_vm(client: "AsyncClient", said: str, hosts: Sequence[str] = ()) -> Target:
    """Return the VM that is meant. Raises `VMNotFound`, `UsageError` when it may be one of several."""
    (target,) = await find_vms(client, [said], hosts)
    return target


async def find_vms(client: "AsyncClient", said: Iterable[str], hosts: Sequence[str] = ()) -> tuple[Target, ...]:
    """Return the VMs that are meant, each once, in the order of what was said."""
    found = await asyncio.gather(*(_find(client, name, hosts) for name in dict.fromkeys(said)))
    return tuple(dict.fromkeys(found))


async def _find(client: "AsyncClient", said: str, hosts: Sequence[str]) -> Target:
    """Look at what is known, and ask the hosts only when nothing fits."""
    wanted = await filter_on(client, hosts, _may_be(said))
    uuid = _uuid(said) or _uuid(said.partition("/")[2])
    for fresh in (False, True):
        page = await client.vms.find(filter=wanted, fresh=fresh)
        known = [Target(vm.host, vm.uuid, vm.name) for vm in page.items]
        # What is named like a UUID is meant only if no host has a VM of that UUID, also one that is new.
        if (meant := _best(said, known)) and (fresh or not uuid or any(vm.uuid == uuid for vm in meant)):
            return _only(said, meant)
    unasked = "".join(f"; host {host.host} could not be asked: {host.detail}" for host in page.stale_hosts)
    raise VMNotFound(f"there is no VM {said!r}{unasked}; virtumancer vms list shows which there are")


async def targets_on(
    client: "AsyncClient",
    hosts: Sequence[str] = (),
    filter: str = "",  # noqa: A002 - as the API calls it
) -> tuple[Target, ...]:
    """List the VMs of these hosts, of all without any, that fit a filter. Raises `HostNotFound`."""
    page = await client.vms.find(filter=await filter_on(client, hosts, filter))
    return tuple(Target(vm.host, vm.uuid, vm.name) for vm in page.items)


async def filter_on(client: "AsyncClient", hosts: Sequence[str], filter: str) -> str | None:  # noqa: A002 - as above
    """Return the filter for these hosts alone. Raises `HostNotFound`."""
    await asyncio.gather(*map(client.hosts.get, hosts))
    parts = [f"host in ({', '.join(map(_quoted, hosts))})"] if hosts else []
    if filter:
        parts.append(f"({filter})")
    return " and ".join(parts) or None


def _may_be(said: str) -> str:
    """Write the filter for all VMs that may be meant."""
    host, slash, name = said.partition("/")
    ways = [f"name = {_quoted(said)}", f"uuid = {_quoted(_uuid(said) or said)}"]
    if slash:
        ways.append(f"host = {_quoted(host)} and (name = {_quoted(name)} or uuid = {_quoted(name)})")
    return " or ".join(ways)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _best(said: str, known: Sequence[Target]) -> list[Target]:
    """A UUID goes first, as in the paths of the API; then a name, then HOST/UUID and HOST/NAME."""
    uuid = _uuid(said)
    ways = (
        [target for target in known if uuid and target.uuid == uuid],
        [target for target in known if target.name == said],
        [target for target in known if said == f"{target.host}/{target.uuid}"],
        [target for target in known if said == f"{target.host}/{target.name}"],
    )
    return next((found for found in ways if found), list[Target]())


def _only(said: str, meant: Sequence[Target]) -> Target:
    if len(meant) > 1:
        which = ", ".join(sorted(map(str, meant)))
        raise UsageError(f"several VMs are called {said!r}; say which: {which}, or name the host with --host")
    return meant[0]


def _uuid(said: str) -> str:
    try:
        return str(UUID(said))
    except ValueError:
        return ""
