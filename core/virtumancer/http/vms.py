"""`/hosts/{host}/vms`: the VMs of a host, a closer look at one, and what can be done with it."""

import falcon
from falcon.asgi import Request, Response, WebSocket

from virtumancer.errors import ConsoleNotFound
from virtumancer.http.requests import BodyReader, send_json
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

    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """Look at the host and list its VMs."""
        send_json(resp, (await self._vms.list(host)).body)


class VMRowsResource:
    """The VMs of a host as stored."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """List the stored rows."""
        send_json(resp, await self._vms.rows(host))


class VMStatsResource:
    """The counters of one VM."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """Read them now."""
        send_json(resp, await self._vms.stats(host, vm))


class VMHardwareResource:
    """The hardware of one VM."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """Describe it."""
        send_json(resp, await self._vms.hardware(host, vm))


class VMActionsResource:
    """What can be done with a VM just now."""

    def __init__(self, vms: VMsService) -> None:
        self._vms = vms

    async def on_get(self, _req: Request, resp: Response, host: str, vm: str) -> None:
        """List the actions that its state allows."""
        send_json(resp, await self._vms.actions(host, vm))


class VMActionResource:
    """Something that can be done with a VM; a WebSocket at such a path wants a console that nobody carries."""

    def __init__(self, vms: VMsService, bodies: BodyReader) -> None:
        self._vms = vms
        self._bodies = bodies

    async def on_post(self, req: Request, resp: Response, host: str, vm: str, action: str) -> None:
        """Do it; answers once the hypervisor accepted."""
        await self._vms.act(host, vm, action, await self._bodies.read(req))
        resp.status = falcon.HTTP_204

    async def on_websocket(self, _req: Request, _ws: WebSocket, host: str, vm: str, action: str) -> None:
        """Refuse it with a reason."""
        raise ConsoleNotFound(f"no plugin carries a console {action[:80]!r} of VM {vm[:80]!r} on host {host!r}")
