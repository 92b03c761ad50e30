"""`/vms`: the VMs of all hosts."""

import hashlib
from collections.abc import AsyncIterator

import msgspec
from falcon.asgi import Request, Response

from virtumancer.contracts.listings import VMPage
from virtumancer.errors import StoreUnavailable
from virtumancer.http import examples
from virtumancer.http.api_paths import API
from virtumancer.http.endpoint import Query, endpoint
from virtumancer.http.middleware.authorization import access_of
from virtumancer.http.middleware.etag import is_known
from virtumancer.http.pagination import LIST_ERRORS, LIST_QUERY, list_query
from virtumancer.http.requests import flag_of, send_json, send_stream
from virtumancer.query.query import ParsedQuery
from virtumancer.services.auth import Right
from virtumancer.services.vms.list_item import all_vms_shape
from virtumancer.services.vms.listing import FRESH_TIMEOUT, VMListing, VMListingService

__all__ = ["AllVMsResource"]


class AllVMsResource:
    """The VMs of all hosts, as last seen."""

    def __init__(self, vms: VMListingService) -> None:
        self._vms = vms

    @endpoint(
        "listAllVms",
        "vms",
        path=API / "vms",
        right=Right.READ,
        filters=True,
        answer=VMPage,
        query=(
            *LIST_QUERY,
            Query(
                "fresh", bool, f"Look at all hosts now; one that does not answer within {FRESH_TIMEOUT:g} s is stale."
            ),
        ),
        errors=(*LIST_ERRORS, StoreUnavailable),
        example=examples.VM_PAGE,
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """List the VMs of all hosts as they were last seen, as far as the caller may read them.

        No host is asked, unless with `fresh=true`. Each VM says when it was seen, and whether it is stale;
        `stale_hosts` says why. Without `sort` the order is that of host and UUID, which no change of a VM changes, so
        a VM that is renamed while one turns pages is neither missing nor there twice. Without `limit` it is everything.
        """
        asked = all_vms_shape().understand(list_query(req))
        fresh = flag_of(req, "fresh")
        vms = await self._vms.list(access_of(req), fresh=fresh)
        if asked.limit is None:
            await vms.load()
            digest = hashlib.blake2b(f"{await vms.digest()} {req.query_string}".encode(), digest_size=16).hexdigest()
            if not is_known(req, resp, f'"{digest}"'):
                send_stream(resp, _chunks(vms, asked))
        else:
            found, cursor = await vms.page(asked)
            send_json(resp, {"items": asked.shown(found), "next_cursor": cursor, "stale_hosts": vms.stale_hosts})


async def _chunks(vms: VMListing, asked: ParsedQuery) -> AsyncIterator[bytes]:
    """Write the page piece by piece, so that the whole is never in memory."""
    before = b'{"items":['
    async for batch in vms.batches(asked):
        if batch:
            yield before + msgspec.json.encode(asked.shown(batch))[1:-1]
            before = b","
    rest = msgspec.json.encode({"next_cursor": None, "stale_hosts": vms.stale_hosts})[1:]
    yield (b"" if before == b"," else before) + b"]," + rest
