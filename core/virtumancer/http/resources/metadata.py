"""`…/metadata`: what people write down about a host or VM."""

from collections.abc import Collection
from typing import Annotated

from falcon.asgi import Request, Response
from msgspec import Meta, Struct

from virtumancer.contracts import Metadata
from virtumancer.errors import Forbidden, HostNotFound, InvalidValue, PreconditionFailed, StoreUnavailable, VMNotFound
from virtumancer.http import examples
from virtumancer.http.api_paths import HOST_PATH, VM_PATH
from virtumancer.http.endpoint import Header, endpoint
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.middleware.etag import is_known, wanted_tags
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.services.auth import TAG, Right
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.metadata.service import (
    MAX_NOTES,
    MAX_TAGS,
    MAX_TITLE,
    NOTES,
    TITLE,
    MetadataService,
    MetadataWish,
    version_of,
)
from virtumancer.services.vms.service import VMsService

__all__ = ["HostMetadataResource", "MetadataChange", "MetadataRequest", "VMMetadataResource"]

METADATA = Metadata(
    title="Shop", notes="Restart it at night only.", tags=("prod", "web"), changed_at=examples.NOON, changed_by="alice"
)
TAGGED = Header("ETag", "The version, for `If-Match`.")
CHANGING = (InvalidValue, Forbidden, PreconditionFailed, StoreUnavailable)

# Only for the schema: the service refuses the others, with a sentence that says more than a pattern.
Title = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_TITLE, "pattern": f"^{TITLE}$"})]
Notes = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_NOTES, "pattern": f"^{NOTES}$"})]
Tag = Annotated[str, Meta(extra_json_schema={"pattern": f"^{TAG}$"})]
TagList = Annotated[tuple[Tag, ...], Meta(extra_json_schema={"maxItems": MAX_TAGS})]


class MetadataRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT …/metadata`; what is left out becomes empty."""

    title: Title = ""
    """One line of 200 characters at most."""
    notes: Notes = ""
    """4096 characters at most; lines are allowed."""
    tags: TagList = ()
    """32 at most, each with 1 to 63 of the characters `a-z 0-9 . _ : = / -`, a letter or digit first."""


class MetadataChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH …/metadata`; what is left out stays."""

    title: Title | None = None
    notes: Notes | None = None
    tags: TagList | None = None
    """All tags, not only new ones."""


class _MetadataResource:
    """Answers about metadata, and changes them as a request wants it."""

    def __init__(self, metadata: MetadataService, bodies: BodyReader) -> None:
        self._metadata = metadata
        self._bodies = bodies

    async def _replace(self, req: Request, resp: Response, host: str, uuid: str) -> None:
        await self._change(req, resp, host, uuid, await self._bodies.decode(req, MetadataRequest))

    async def _patch(self, req: Request, resp: Response, host: str, uuid: str) -> None:
        await self._change(req, resp, host, uuid, await self._bodies.decode_optional(req, MetadataChange))

    async def _change(
        self, req: Request, resp: Response, host: str, uuid: str, body: MetadataRequest | MetadataChange
    ) -> None:
        known: Collection[str] | None = wanted_tags(req)
        wish = MetadataWish(body.title, body.notes, body.tags)
        metadata = await self._metadata.change(host, uuid, wish, caller_of(req), known)
        resp.set_header("ETag", f'"{version_of(metadata)}"')
        send_json(resp, metadata)


def _answer(req: Request, resp: Response, metadata: Metadata) -> None:
    if not is_known(req, resp, f'"{version_of(metadata)}"'):
        send_json(resp, metadata)


class HostMetadataResource(_MetadataResource):
    """The metadata of a host."""

    def __init__(self, metadata: MetadataService, hosts: HostsService, bodies: BodyReader) -> None:
        super().__init__(metadata, bodies)
        self._hosts = hosts

    @endpoint(
        "getHostMetadata",
        "hosts",
        path=HOST_PATH / "metadata",
        right=Right.READ,
        answer=Metadata,
        cached=True,
        errors=(HostNotFound,),
        example=METADATA,
    )
    async def on_get(self, req: Request, resp: Response, host: str) -> None:
        """Read the title, notes and tags of a host."""
        self._hosts.session(host)
        _answer(req, resp, self._metadata.of_host(host))

    @endpoint(
        "replaceHostMetadata",
        "hosts",
        path=HOST_PATH / "metadata",
        right=Right.METADATA,
        body=MetadataRequest,
        answer=Metadata,
        headers=(TAGGED,),
        errors=(HostNotFound, *CHANGING),
        example=METADATA,
        body_example=MetadataRequest("Shop", tags=("prod", "web")),
    )
    async def on_put(self, req: Request, resp: Response, host: str) -> None:
        """Replace the title, notes and tags of a host; tags that differ need the right `access` as well."""
        self._hosts.session(host)
        await self._replace(req, resp, host, "")

    @endpoint(
        "changeHostMetadata",
        "hosts",
        path=HOST_PATH / "metadata",
        right=Right.METADATA,
        body=MetadataChange,
        answer=Metadata,
        headers=(TAGGED,),
        errors=(HostNotFound, *CHANGING),
        example=METADATA,
        body_example=MetadataChange(title="Shop"),
    )
    async def on_patch(self, req: Request, resp: Response, host: str) -> None:
        """Change some of the title, notes and tags of a host; tags that differ need the right `access` as well."""
        self._hosts.session(host)
        await self._patch(req, resp, host, "")


class VMMetadataResource(_MetadataResource):
    """The metadata of a VM, also while its host is not connected."""

    def __init__(self, metadata: MetadataService, vms: VMsService, bodies: BodyReader) -> None:
        super().__init__(metadata, bodies)
        self._vms = vms

    @endpoint(
        "getVmMetadata",
        "vms",
        path=VM_PATH / "metadata",
        right=Right.READ,
        answer=Metadata,
        cached=True,
        errors=(VMNotFound, HostNotFound, StoreUnavailable),
        example=METADATA,
        offline=True,
    )
    async def on_get(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """Read the title, notes and tags of a VM.

        The host need not be connected. They stay with the VM's UUID, also when it is gone for a while.
        """
        found = await self._vms.identify(host, vm)
        _answer(req, resp, self._metadata.of_vm(host, found.uuid))

    @endpoint(
        "replaceVmMetadata",
        "vms",
        path=VM_PATH / "metadata",
        right=Right.METADATA,
        body=MetadataRequest,
        answer=Metadata,
        headers=(TAGGED,),
        errors=(VMNotFound, HostNotFound, *CHANGING),
        example=METADATA,
        body_example=MetadataRequest("Shop", tags=("prod", "web")),
        offline=True,
    )
    async def on_put(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """Replace the title, notes and tags of a VM; tags that differ need the right `access` as well."""
        found = await self._vms.identify(host, vm)
        await self._replace(req, resp, host, found.uuid)

    @endpoint(
        "changeVmMetadata",
        "vms",
        path=VM_PATH / "metadata",
        right=Right.METADATA,
        body=MetadataChange,
        answer=Metadata,
        headers=(TAGGED,),
        errors=(VMNotFound, HostNotFound, *CHANGING),
        example=METADATA,
        body_example=MetadataChange(title="Shop"),
        offline=True,
    )
    async def on_patch(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """Change some of the title, notes and tags of a VM; tags that differ need the right `access` as well."""
        found = await self._vms.identify(host, vm)
        await self._patch(req, resp, host, found.uuid)
