"""`/hosts/{host}/host-keys`: the SSH host keys that are pinned for a host, and those that it shows."""

from typing import Annotated

import falcon
from falcon.asgi import Request, Response
from msgspec import Meta, Struct

from virtumancer.contracts import HostDetail, HostKey, HostKeyTrust, ShownHostKey
from virtumancer.errors import AbilityMissing, Conflict, HostNotFound, InvalidValue, NotFound
from virtumancer.http import examples
from virtumancer.http.api_paths import API, HOST_PATH, Parameter
from virtumancer.http.endpoint import CONNECTS, endpoint
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.services.auth import Right
from virtumancer.services.hosts.host_keys import HostKeysService

__all__ = [
    "HostKeyResource",
    "HostKeyRotationResource",
    "HostKeyScanResource",
    "HostKeysResource",
    "NewHostKeyScanResource",
]

HOST_KEYS = HOST_PATH / "host-keys"
FINGERPRINT = Parameter(
    "fingerprint",
    "The fingerprint of a host key, `/` as `%2F`.",
    pattern="^SHA256:[A-Za-z0-9+/]{43}$",
    example="SHA256:uNiVztksCsDhcc0u9e8BgrJXVGLZQlPTDJ0cs5ZsLgQ",
)

OLD = "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGLZQlPTDJ0cs5ZsLgQ"
NEW = "SHA256:Qtn1FNjchmnEp35wnyk76A7+iCcZ9qbIwsUzGpLMt+E"
Fingerprint = Annotated[str, Meta(pattern=r"^SHA256:[A-Za-z0-9+/]{43}\Z")]


KEY = HostKey("kvm1.example.org", "ssh-ed25519", OLD, "ssh-ed25519 AAAAC3Nz…")
SHOWN = ShownHostKey("kvm1.example.org", "ssh-ed25519", NEW, "ssh-ed25519 AAAAC3Nz…", HostKeyTrust.UNKNOWN)
SCANS = (*CONNECTS, AbilityMissing)


class KeyApproval(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /hosts/{host}/host-keys`."""

    fingerprint: Fingerprint
    """The fingerprint, as `SHA256:…`, that a person has compared."""


class NewHostScan(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /host-keys/scan`."""

    uri: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 2048})]
    """How the host would be reached, as in `POST /hosts`."""


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /hosts/{host}/host-keys/rotate`."""

    old: Fingerprint
    """The fingerprint of the pinned key that is given up, as `SHA256:…`."""
    new: Fingerprint
    """The fingerprint of the key that the host shows now, as a person has compared it."""


class HostKeysResource:
    """The keys pinned for a host."""

    def __init__(self, keys: HostKeysService, bodies: BodyReader) -> None:
        self._keys = keys
        self._bodies = bodies

    @endpoint(
        "listHostKeys",
        "hosts",
        path=HOST_KEYS,
        right=Right.HOSTS,
        answer=tuple[HostKey, ...],
        errors=(HostNotFound,),
        example=[KEY],
    )
    async def on_get(self, _req: Request, resp: Response, host: str) -> None:
        """List the SSH host keys that are pinned for a host, oldest first.

        Keys that a known_hosts file vouches for are not pinned and not here.
        """
        send_json(resp, await self._keys.list(host))

    @endpoint(
        "approveHostKey",
        "hosts",
        path=HOST_KEYS,
        right=Right.HOSTS,
        status=201,
        body=KeyApproval,
        answer=HostKey,
        errors=(*SCANS, Conflict, HostNotFound),
        example=KEY,
        body_example=KeyApproval(OLD),
    )
    async def on_post(self, req: Request, resp: Response, host: str) -> None:
        """Pin a key that a host shows now, without connecting to the host.

        Nothing is pinned unless the host shows it, and a key in the place of a trusted one is not approved: that is
        what rotating is for.
        """
        body = await self._bodies.decode(req, KeyApproval)
        resp.status = falcon.HTTP_201
        send_json(resp, await self._keys.approve(host, body.fingerprint))


class HostKeyScanResource:
    """The keys that a host shows."""

    def __init__(self, keys: HostKeysService) -> None:
        self._keys = keys

    @endpoint(
        "scanHostKeys",
        "hosts",
        path=HOST_KEYS / "scan",
        right=Right.HOSTS,
        answer=tuple[ShownHostKey, ...],
        errors=(*SCANS, HostNotFound),
        example=[SHOWN],
    )
    async def on_post(self, _req: Request, resp: Response, host: str) -> None:
        """Ask a host which SSH host keys it shows now, without logging in, and say which of them are trusted.

        Nothing is changed. A jump host that is not trusted is as far as it goes, and its keys are answered.
        """
        send_json(resp, await self._keys.scan(host))


class NewHostKeyScanResource:
    """The keys that a host shows that is not added yet."""

    def __init__(self, keys: HostKeysService, bodies: BodyReader) -> None:
        self._keys = keys
        self._bodies = bodies

    @endpoint(
        "scanNewHostKeys",
        "hosts",
        path=API / "host-keys" / "scan",
        right=Right.HOSTS,
        body=NewHostScan,
        answer=tuple[ShownHostKey, ...],
        errors=(*SCANS, InvalidValue),
        example=[SHOWN],
        body_example=NewHostScan("qemu+ssh://root@kvm1.example.org/system"),
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Ask a host that is not added which SSH host keys it shows, without logging in.

        Who may add hosts may ask, for the same URIs as they may be added with.
        """
        body = await self._bodies.decode(req, NewHostScan)
        send_json(resp, await self._keys.scan_uri(body.uri))


class HostKeyResource:
    """One pinned key."""

    def __init__(self, keys: HostKeysService) -> None:
        self._keys = keys

    @endpoint(
        "removeHostKey",
        "hosts",
        path=HOST_KEYS / FINGERPRINT,
        right=Right.HOSTS,
        status=204,
        errors=(HostNotFound, NotFound),
    )
    async def on_delete(self, _req: Request, resp: Response, host: str, fingerprint: str) -> None:
        """Trust a pinned host key no more.

        A connection that stands goes on; the next one needs an approval, as `POST …/connect` takes it. A declared
        `host_key`, and `unknown_host_keys = "accept-new"`, approve it again.
        """
        await self._keys.remove(host, fingerprint)
        resp.status = falcon.HTTP_204


class HostKeyRotationResource:
    """Following a host whose key was changed on purpose."""

    def __init__(self, keys: HostKeysService, bodies: BodyReader) -> None:
        self._keys = keys
        self._bodies = bodies

    @endpoint(
        "rotateHostKey",
        "hosts",
        path=HOST_KEYS / "rotate",
        right=Right.HOSTS,
        body=Rotation,
        answer=HostDetail,
        errors=(*CONNECTS, Conflict, HostNotFound, NotFound),
        example=examples.HOST_DETAIL,
        body_example=Rotation(OLD, NEW),
    )
    async def on_post(self, req: Request, resp: Response, host: str) -> None:
        """Pin a new host key in place of an old one, once the host has shown it.

        A connection is tried with it first; if the host shows another key, or cannot be reached, nothing is changed. A
        host that was refused is connected then, and a connection that stands goes on.
        """
        body = await self._bodies.decode(req, Rotation)
        send_json(resp, await self._keys.rotate(host, body.old, body.new))
