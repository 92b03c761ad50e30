"""`/hosts`: the hosts, one of them, what it has, and connecting it."""

from urllib.parse import quote

import falcon
from falcon.asgi import Request, Response
from msgspec import Struct

from virtumancer.contracts import Host
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.services.collecting import CollectorRunner
from virtumancer.services.hosts import HostsService

__all__ = [
    "HostConnectResource",
    "HostDisconnectResource",
    "HostInfoResource",
    "HostResource",
    "HostSamplesResource",
    "HostsResource",
]


class NewHost(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /hosts`; `host_key` approves SSH host keys by fingerprint (several with a jump host)."""

    id: str
    uri: str
    host_key: str | tuple[str, ...] = ()


class Approval(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /hosts/{id}/connect`, which may be empty."""

    host_key: str | tuple[str, ...] = ()


def _approved(host_key: str | tuple[str, ...]) -> frozenset[str]:
    return frozenset({host_key} if isinstance(host_key, str) else host_key)


class HostsResource:
    """All hosts."""

    def __init__(self, hosts: HostsService, bodies: BodyReader) -> None:
        self._hosts = hosts
        self._bodies = bodies

    async def on_get(self, _req: Request, resp: Response) -> None:
        """List them, in the order added."""
        send_json(resp, await self._hosts.list())

    async def on_post(self, req: Request, resp: Response) -> None:
        """Connect to a host and store it."""
        body = await self._bodies.decode(req, NewHost)
        host = await self._hosts.add(Host(body.id, body.uri), _approved(body.host_key))
        resp.status = falcon.HTTP_201
        resp.location = f"{req.path.rstrip('/')}/{quote(host.id)}"
        send_json(resp, host)


class HostResource:
    """One host and its session."""

    def __init__(self, hosts: HostsService) -> None:
        self._hosts = hosts

    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """Describe host and session."""
        send_json(resp, await self._hosts.detail(host))

    async def on_delete(self, _req: Request, resp: Response, host: str) -> None:
        """Disconnect and delete it."""
        await self._hosts.remove(host)
        resp.status = falcon.HTTP_204


class HostInfoResource:
    """What a host has."""

    def __init__(self, hosts: HostsService) -> None:
        self._hosts = hosts

    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """Ask the host."""
        send_json(resp, await self._hosts.info(host))


class HostConnectResource:
    """Connecting a host, now and from now on."""

    def __init__(self, hosts: HostsService, bodies: BodyReader) -> None:
        self._hosts = hosts
        self._bodies = bodies

    async def on_post(self, req: Request, resp: Response, host: str) -> None:
        """Connect, and wait for the outcome."""
        body = await self._bodies.decode_optional(req, Approval)
        send_json(resp, await self._hosts.connect(host, _approved(body.host_key)))


class HostDisconnectResource:
    """Disconnecting a host until it is connected again."""

    def __init__(self, hosts: HostsService) -> None:
        self._hosts = hosts

    async def on_post(self, _req: Request, resp: Response, host: str) -> None:
        """Disconnect."""
        send_json(resp, await self._hosts.disconnect(host))


class HostSamplesResource:
    """What the stats collectors of the plugins last said about a host."""

    def __init__(self, hosts: HostsService, collectors: CollectorRunner) -> None:
        self._hosts = hosts
        self._collectors = collectors

    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """Return the latest samples."""
        self._hosts.session(host)
        send_json(resp, self._collectors.latest(host))
