"""`/hosts/{host}/vms`: the VMs of a host, a closer look at one, and what can be done with it."""

from collections.abc import Mapping

import falcon
import msgspec
from falcon.asgi import Request, Response, WebSocket
from msgspec import Struct

from virtumancer.contracts import VM, ActionOffer, HardwareInfo, VMRow, VMStats
from virtumancer.errors import (
    AbilityMissing,
    ConsoleNotFound,
    HostNotFound,
    PluginDegraded,
    StoreUnavailable,
    WrongPowerState,
)
from virtumancer.http import examples
from virtumancer.http.access import access_of
from virtumancer.http.operations import ASKS_HOST, ASKS_VM, operation
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.services.access import Right
from virtumancer.services.vms import VMsService

__all__ = [
    "VMActionResource",
    "VMActionsResource",
    "VMHardwareResource",
    "VMRowsResource",
    "VMStatsResource",
    "VMsResource",
]


class VMsResource:
    """The VMs of a host, live."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    @operation(
        "listVms",
        "vms",
        right=Right.READ,
        filters=True,
        answer=tuple[VM, ...],
        errors=(*ASKS_HOST, StoreUnavailable),
        example=[examples.VM_LISTED],
    )
    async def on_get(self, req: Request, resp: Response, host: str) -> None:
        """Look at a host and list its VMs, active and inactive, as far as the caller may read them.

        The stored rows are in step when the answer leaves. Requests at the same time share one look.
        """
        access = access_of(req)
        listing = await self._vms.list(host)
        if access.on_host(Right.READ, host):
            send_json(resp, listing.body)
        else:
            send_json(resp, [vm for vm in listing.vms if access.on_vm(Right.READ, host, vm.uuid)])


class VMRowsResource:
    """The VMs of a host as stored."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    @operation(
        "listVmRows",
        "vms",
        right=Right.READ,
        filters=True,
        answer=tuple[VMRow, ...],
        errors=(HostNotFound, StoreUnavailable),
        example=[examples.VM_ROW],
    )
    async def on_get(self, req: Request, resp: Response, host: str) -> None:
        """List the VMs of a host as they are stored, without asking the host.

        It works while the host is not connected. `config_json` holds the VM as it was last seen.
        """
        access = access_of(req)
        rows = await self._vms.rows(host)
        if not access.on_host(Right.READ, host):
            rows = tuple(row for row in rows if access.on_vm(Right.READ, host, _uuid_of(row)))
        send_json(resp, rows)


class _Named(Struct, frozen=True):
    """The part of a stored VM that names it."""

    uuid: str


def _uuid_of(row: VMRow) -> str:
    return msgspec.json.decode(row.config_json, type=_Named).uuid


class VMStatsResource:
    """The counters of one VM."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    @operation("getVmStats", "vms", right=Right.READ, answer=VMStats, errors=ASKS_VM, example=examples.VM_STATS)
    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """Read the counters of a VM: memory, CPU time, and the bytes of its disks and NICs."""
        send_json(resp, await self._vms.stats(host, vm))


class VMHardwareResource:
    """The hardware of one VM."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    @operation("getVmHardware", "vms", right=Right.READ, answer=HardwareInfo, errors=ASKS_VM, example=examples.HARDWARE)
    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """Describe the disks and NICs of a VM: those it has while it runs, else those of its definition."""
        send_json(resp, await self._vms.hardware(host, vm))


class VMActionsResource:
    """What can be done with a VM just now."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    @operation(
        "listVmActions",
        "actions",
        right=Right.READ,
        answer=tuple[ActionOffer, ...],
        errors=ASKS_VM,
        example=[examples.ACTION],
    )
    async def on_get(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """List what the caller can do with a VM in its present state, on this host.

        `params` is the JSON Schema of the body that `POST …/vms/{vm}/{name}` takes; a page can draw a form from it.
        """
        access = access_of(req)
        send_json(resp, await self._vms.actions(host, vm, lambda right, uuid: access.on_vm(right, host, uuid)))


class VMActionResource:
    """Something that can be done with a VM; a WebSocket at such a path wants a console that nobody carries."""

    def __init__(self, vms: VMsService, bodies: BodyReader) -> None:
        self._vms = vms
        self._bodies = bodies

    def right_for(self, _method: str, params: Mapping[str, str]) -> str:
        """Name the right that this action needs; that there is none may know who reads the VM."""
        return self._vms.permission(params["action"]) or Right.READ

    @operation(
        "actOnVm",
        "actions",
        status=204,
        errors=(*ASKS_VM, AbilityMissing, WrongPowerState, PluginDegraded),
        expanded=True,
    )
    async def on_post(self, req: Request, resp: Response, host: str, vm: str, action: str) -> None:
        """Do something with a VM.

        The answer comes once the hypervisor accepted it, not when it is done.
        """
        await self._vms.act(host, vm, action, await self._bodies.read(req))
        resp.status = falcon.HTTP_204

    @operation("openConsole", "consoles", right=Right.READ, status=101, errors=(ConsoleNotFound,), expanded=True)
    async def on_websocket(self, _req: Request, _ws: WebSocket, host: str, vm: str, action: str) -> None:
        """Refuse it with a reason."""
        raise ConsoleNotFound(f"no plugin carries a console {action[:80]!r} of VM {vm[:80]!r} on host {host!r}")
