"""Which VM is meant: by its UUID once it was looked up, before that by what a client calls it."""

import asyncio
import re
from uuid import UUID

from virtumancer.contracts import HostConnection, VMRef
from virtumancer.errors import VMNotFound
from virtumancer.services.hosts.inventory import Inventory
from virtumancer.services.hosts.session import HostSession
from virtumancer.store import VMIdentity

__all__ = ["SeenUUID", "find_by_uuid", "find_vm", "last_seen", "uuid_in"]

FORM = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}(\1[0-9a-fA-F]{4}){2}\1[0-9a-fA-F]{12}")


class SeenUUID(str):
    """The UUID of a VM that was looked up for this request already: never the name of another one."""

    __slots__ = ()


def uuid_in(said: str) -> str:
    """Return the UUID that somebody wrote, as hosts write it; empty when it is none."""
    return str(UUID(said)) if FORM.fullmatch(said) else ""


def last_seen(inventory: Inventory, said: str) -> VMIdentity | None:
    """Return the VM that this meant at the last look, without asking the host."""
    if inventory.seen is None:
        return None
    ways = (said,) if isinstance(said, SeenUUID) else (said, uuid_in(said), inventory.uuid_of(said) or "")
    for uuid in ways:
        if found := inventory.seen.vms.get(uuid):
            return VMIdentity(uuid, found.name)
    return None


async def find_vm(session: HostSession, said: str) -> VMRef:
    """Ask the host for the VM that is meant: the one of this UUID, or else of this name. Raises `VMNotFound`."""
    if isinstance(said, SeenUUID):
        return await find_by_uuid(session, said)
    uuid = said if session.inventory.knows(said) else uuid_in(said)
    if not uuid:
        return await session.call(lambda connection: connection.find_by_name(said))
    # Both are asked for in any case, so that how long it takes does not tell whether a VM has this UUID.
    by_uuid, by_name = await asyncio.gather(
        find_by_uuid(session, uuid),
        session.call(lambda connection: connection.find_by_name(said)),
        return_exceptions=True,
    )
    found = by_name if isinstance(by_uuid, VMNotFound) else by_uuid
    if isinstance(found, BaseException):
        raise found
    return found


async def find_by_uuid(session: HostSession, uuid: str) -> VMRef:
    """Ask the host for the VM of this UUID, whatever others are named. Raises `VMNotFound`.

    A driver of 1.x looks for a name first, and so does not find a VM whose UUID is the name of another one: then the
    listing has it.
    """
    try:
        return await session.call(lambda connection: connection.find_by_uuid(uuid))
    except VMNotFound:
        if not _looks_for_names_first(session.require_connection()):
            raise
        for vm in (await session.inventory.refresh()).rows:
            if vm.uuid == uuid:
                return VMRef(vm.uuid, vm.name, vm.state)
        raise


def _looks_for_names_first(connection: HostConnection) -> bool:
    # Not `type`: what stands here may be a guard around the connection.
    return connection.__class__.find_by_uuid is HostConnection.find_by_uuid
