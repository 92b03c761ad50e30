"""`/hosts`: the hosts, one of them, what it has, and connecting it."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import quote

import falcon
import msgspec
from falcon.asgi import Request, Response
from msgspec import Meta, Struct

from virtumancer.contracts import Host, HostDetail, HostInfo, OperationInfo, OperationTarget
from virtumancer.contracts.responses import HostSamples
from virtumancer.errors import (
    CredentialsUnreadable,
    HostExists,
    HostNotFound,
    HostUnavailable,
    InvalidValue,
    PreconditionFailed,
    StoreUnavailable,
    TooManyOperations,
)
from virtumancer.http import examples
from virtumancer.http.api_paths import API, HOST_PATH
from virtumancer.http.endpoint import ASKS_HOST, CONNECTS, Header, endpoint
from virtumancer.http.list_schemas import hosts_shape
from virtumancer.http.middleware.audit import act_of
from virtumancer.http.middleware.authorization import access_of
from virtumancer.http.middleware.etag import as_known, send_whole
from virtumancer.http.middleware.respond_async import RespondAsync, prefers_async
from virtumancer.http.pagination import LINK, LIST_ERRORS, LIST_QUERY, asked_of, send_list
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.masking import MASK, holds_secret
from virtumancer.services.audit.log import AuditLog
from virtumancer.services.auth import Right
from virtumancer.services.hosts.credentials import LONGEST
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.stats_collection import StatsCollection
from virtumancer.services.operations.operation import OperationBody, RunningOperation

__all__ = [
    "HostConnectResource",
    "HostDisconnectResource",
    "HostInfoResource",
    "HostResource",
    "HostSamplesResource",
    "HostsResource",
]


# Only for the schema, as below.
CredentialName = Annotated[str, Meta(extra_json_schema={"pattern": "^[a-z][a-z0-9-]{0,62}$"})]
CredentialValue = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": LONGEST})]


class NewHost(Struct, frozen=True):
    """The body of `POST /hosts`; `host_key` approves SSH host keys by fingerprint (several with a jump host).

    Further keys are ignored: clients send back what they were shown.
    """

    # Only for the schema: the service refuses the others, with a sentence that says more than a pattern.
    id: Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z0-9._-]{1,63}$"})]
    """The client chooses it; 1 to 63 of the characters `A-Z a-z 0-9 . _ -`."""
    uri: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 2048})]
    """How to reach the host, as `qemu+ssh://root@kvm1.example.org/system`."""
    host_key: str | tuple[str, ...] = ()
    """The fingerprint, as `SHA256:…`, of each SSH host key that nobody else vouches for."""
    credentials: dict[CredentialName, CredentialValue] = {}
    """What the driver of the host needs to be let in, by the names that it knows; never shown again."""

    def __repr__(self) -> str:
        """Show no credentials."""
        return f"NewHost({self.id!r}, {self.uri!r})"


class HostChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /hosts/{id}`; what is left out stays."""

    credentials: dict[CredentialName, CredentialValue | None] = {}
    """Credentials to set, by name, and with null to remove; the others stay."""

    def __repr__(self) -> str:
        """Show no credentials."""
        return "HostChange(…)"


class Approval(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /hosts/{id}/connect`, which may be empty."""

    host_key: str | tuple[str, ...] = ()
    """The fingerprint, as `SHA256:…`, of each SSH host key that nobody else vouches for."""


def _approved(host_key: str | tuple[str, ...]) -> frozenset[str]:
    return frozenset({host_key} if isinstance(host_key, str) else host_key)


def _connecting(connect: Callable[[], Awaitable[Struct]]) -> OperationBody:
    """Return the work of an operation that connects to a host, and answers with what `connect` returns."""

    async def work(running: RunningOperation) -> None:
        await running.step("connecting")
        running.result = msgspec.to_builtins(await connect())

    return work


class HostsResource:
    """All hosts."""

    records_itself = True
    """Which host is added is known when the body was read, and is on record before it is tried."""

    def __init__(self, hosts: HostsService, deferring: RespondAsync, bodies: BodyReader, audit: AuditLog) -> None:
        self._audit = audit
        self._hosts = hosts
        self._deferring = deferring
        self._bodies = bodies

    @endpoint(
        "listHosts",
        "hosts",
        path=API / "hosts",
        right=Right.READ,
        filters=True,
        answer=tuple[Host, ...],
        query=LIST_QUERY,
        headers=(LINK,),
        errors=(*LIST_ERRORS, StoreUnavailable),
        example=[examples.HOST],
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """List the hosts that the caller may read, in the order in which they were added."""
        access, asked = access_of(req), asked_of(req, hosts_shape())
        hosts = await self._hosts.list()
        if access.everywhere(Right.READ) and asked is hosts_shape().everything:
            send_whole(req, resp, hosts)
        else:
            send_list(req, resp, [entry for entry in hosts.rows if access.on_host(Right.READ, entry.host.id)], asked)

    @endpoint(
        "addHost",
        "hosts",
        path=API / "hosts",
        right=Right.HOSTS,
        status=201,
        body=NewHost,
        secret_body=True,
        answer=Host,
        headers=(Header("Location", "The path of the new host."),),
        others=((202, OperationInfo),),
        errors=(*CONNECTS, HostExists, TooManyOperations),
        example=examples.HOST,
        body_example=NewHost(examples.HOST.id, examples.HOST.uri),
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Connect to a host and store it.

        Nothing is stored when the connection fails. An SSH host key that is not known is refused with its fingerprint
        (409 `host-key-unknown`); when a person has compared it, the same request with `host_key` approves it.
        Credentials are encrypted before they are stored, and reach the driver of the host alone.
        """
        said: dict[str, str] = {}
        try:
            body = await self._bodies.decode(req, NewHost)
            said = {"host": body.id, "uri": MASK if holds_secret(body.uri) else body.uri}
        finally:
            req.context.act = await self._audit.begin(act_of(req, said))
        wanted, approved = Host(body.id, body.uri), _approved(body.host_key)
        if prefers_async(req):
            self._hosts.check_new(wanted, body.credentials)
            work = _connecting(lambda: self._hosts.add(wanted, approved, body.credentials))
            await self._deferring.start(req, resp, "add-host", Right.HOSTS, OperationTarget(), work)
            return
        host = await self._hosts.add(wanted, approved, body.credentials)
        resp.status = falcon.HTTP_201
        resp.location = f"{req.path.rstrip('/')}/{quote(host.id)}"
        send_json(resp, host)


class HostResource:
    """One host and its session."""

    def __init__(self, hosts: HostsService, bodies: BodyReader) -> None:
        self._hosts = hosts
        self._bodies = bodies

    @endpoint(
        "getHost",
        "hosts",
        path=HOST_PATH,
        right=Right.READ,
        answer=HostDetail,
        errors=(HostNotFound, StoreUnavailable),
        example=examples.HOST_DETAIL,
    )
    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """Describe a host and the session with it, without asking the host."""
        send_json(resp, await self._hosts.detail(host))

    @endpoint(
        "changeHost",
        "hosts",
        path=HOST_PATH,
        right=Right.HOSTS,
        body=HostChange,
        secret_body=True,
        answer=HostDetail,
        errors=(
            HostNotFound,
            HostUnavailable,
            InvalidValue,
            PreconditionFailed,
            CredentialsUnreadable,
            StoreUnavailable,
        ),
        example=examples.HOST_DETAIL,
        body_example=HostChange({"client-cert": "-----BEGIN CERTIFICATE-----…"}),
    )
    async def on_patch(self, req: Request, resp: Response, host: str) -> None:
        """Set credentials of a host, or remove them, and connect it anew with them.

        The answer shows whether the host lets us in with them; they are kept in any case. A host that somebody has
        disconnected stays so. Credentials of the configuration file are changed there.
        """
        body = await self._bodies.decode_optional(req, HostChange)
        async with as_known(req, lambda: self._hosts.detail(host)):
            detail = await self._hosts.change_credentials(host, body.credentials)
        send_json(resp, detail)

    @endpoint(
        "removeHost", "hosts", path=HOST_PATH, right=Right.HOSTS, status=204, errors=(HostNotFound, PreconditionFailed)
    )
    async def on_delete(self, req: Request, resp: Response, host: str) -> None:
        """Disconnect a host and delete it.

        Its pinned SSH host keys, its credentials and the stored rows of its VMs are deleted too; the VMs themselves are
        not touched. What people wrote down about it and its VMs is there again when it is added again under the same
        id.
        """
        async with as_known(req, lambda: self._hosts.detail(host)):
            await self._hosts.remove(host)
        resp.status = falcon.HTTP_204


class HostInfoResource:
    """What a host has."""

    def __init__(self, hosts: HostsService) -> None:
        self._hosts = hosts

    @endpoint(
        "getHostInfo",
        "hosts",
        path=HOST_PATH / "info",
        right=Right.READ,
        answer=HostInfo,
        errors=ASKS_HOST,
        example=examples.HOST_INFO,
    )
    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """Ask a host for its name, CPUs and memory."""
        send_json(resp, await self._hosts.info(host))


class HostConnectResource:
    """Connecting a host, now and from now on."""

    def __init__(self, hosts: HostsService, deferring: RespondAsync, bodies: BodyReader) -> None:
        self._hosts = hosts
        self._deferring = deferring
        self._bodies = bodies

    @endpoint(
        "connectHost",
        "hosts",
        path=HOST_PATH / "connect",
        right=Right.HOSTS,
        body=Approval,
        answer=HostDetail,
        others=((202, OperationInfo),),
        errors=(*CONNECTS, HostNotFound, InvalidValue, TooManyOperations),
        example=examples.HOST_DETAIL,
        body_example=Approval("SHA256:uNiVztksCsDhcc0u9e8BgrJXVGLZQlPTDJ0cs5ZsLgQ"),
    )
    async def on_post(self, req: Request, resp: Response, host: str) -> None:
        """Connect a host now, and wait for the outcome.

        From now on the host is kept connected, also across a restart of the server.
        """
        body = await self._bodies.decode_optional(req, Approval)
        approved = _approved(body.host_key)
        if prefers_async(req):
            self._hosts.session(host)
            work = _connecting(lambda: self._hosts.connect(host, approved))
            await self._deferring.start(req, resp, "connect-host", Right.HOSTS, OperationTarget(host), work)
            return
        send_json(resp, await self._hosts.connect(host, approved))


class HostDisconnectResource:
    """Disconnecting a host until it is connected again."""

    def __init__(self, hosts: HostsService) -> None:
        self._hosts = hosts

    @endpoint(
        "disconnectHost",
        "hosts",
        path=HOST_PATH / "disconnect",
        right=Right.HOSTS,
        answer=HostDetail,
        errors=(HostNotFound,),
        example=examples.STOPPED_HOST,
    )
    async def on_post(self, _req: Request, resp: Response, host: str) -> None:
        """Disconnect a host until somebody connects it again, also across a restart of the server."""
        send_json(resp, await self._hosts.disconnect(host))


class HostSamplesResource:
    """What the stats collectors of the plugins last said about a host."""

    def __init__(self, hosts: HostsService, collectors: StatsCollection) -> None:
        self._hosts = hosts
        self._collectors = collectors

    @endpoint(
        "listHostSamples",
        "hosts",
        path=HOST_PATH / "samples",
        right=Right.READ,
        answer=tuple[HostSamples, ...],
        errors=(HostNotFound,),
        example=examples.SAMPLES,
    )
    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """List what the statistics collectors of plugins last said about a host, without asking it."""
        self._hosts.session(host)
        send_json(resp, self._collectors.latest(host))
