"""`/audit`: what was done, by whom and with which outcome, in pages or as one stream of lines."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import msgspec
from falcon.asgi import Request, Response
from msgspec import Meta

from virtumancer.contracts import Timestamp
from virtumancer.contracts.audit import AuditPage, AuditRecord, RecordKind
from virtumancer.errors import Forbidden, InvalidValue, StoreUnavailable, VirtumancerError
from virtumancer.http import examples
from virtumancer.http.api_paths import API
from virtumancer.http.endpoint import Query, endpoint, endpoints_of
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.negotiation import asks_for
from virtumancer.http.requests import send_json
from virtumancer.http.resources.vms import VMActionResource
from virtumancer.services.audit.queries import AuditReader, AuditWanted
from virtumancer.services.auth import Principal, PrincipalDirectory, Right

__all__ = ["AuditResource"]

NDJSON = "application/x-ndjson"
LAST = 2**63 - 1
MAX_LIST = 1000
Limit = Annotated[int, Meta(ge=1, le=MAX_LIST)]
After = Annotated[int, Meta(ge=0, le=LAST)]
RECORD = AuditRecord(
    number=2,
    act=1,
    at=examples.NOON,
    kind=RecordKind.ENDED,
    actor="token night shift (5f2a91c0)",
    address="192.0.2.7",
    what=endpoints_of(VMActionResource)["POST"].name,
    target={"host": "kvm1", "vm": "web01", "action": "forceoff"},
    request_id="5d0c1e3a7b924f6c8d5e0a1b2c3d4e5f",
    outcome="ok",
    duration=0.052,
)


class AuditResource:
    """The audit log."""

    def __init__(self, reader: AuditReader, callers: PrincipalDirectory) -> None:
        self._reader = reader
        self._callers = callers

    @endpoint(
        "listAuditRecords",
        "access",
        path=API / "audit",
        right=Right.AUDIT,
        answer=AuditPage,
        query=(
            Query("after", After, "Only records with higher numbers."),
            Query("limit", Limit, f"How many at most, 1 to {MAX_LIST}; 100 unless said."),
            Query("actor", str, "Only those whose `actor` holds this text."),
            Query("host", str, "Only those about this host or one of its VMs."),
            Query("vm", str, "Only those about this VM, as they name it: by name or UUID."),
            Query("outcome", str, "Only those with this outcome: `ok`, or the code of an error."),
            Query("since", Annotated[datetime, Meta(tz=True)], "Only those since this time."),
        ),
        errors=(InvalidValue, StoreUnavailable),
        example=AuditPage(records=(RECORD,), next=None),
        also={NDJSON: "One `AuditRecord` a line."},
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Read the audit log, oldest first.

        A page may have fewer records than `limit`, or none, and still a `next` to go on with. With `Accept:
        application/x-ndjson` all records are sent, one a line, and `limit` does not count; when that has to stop
        before the end, the last line is a problem document.
        """
        wanted = _wanted(req)
        after = req.get_param_as_int("after", min_value=0, max_value=LAST, default=0)
        limit = req.get_param_as_int("limit", min_value=1, max_value=MAX_LIST, default=100)
        resp.set_header("Cache-Control", "no-store")
        if asks_for(req, resp, NDJSON):
            resp.content_type = NDJSON
            resp.stream = self._lines(wanted, after, caller_of(req))
        else:
            send_json(resp, await self._reader.page(wanted, after, limit))

    async def _lines(self, wanted: AuditWanted, after: int, caller: Principal) -> AsyncIterator[bytes]:
        try:
            async for lines in self._reader.lines(wanted, after):
                if not self._callers.access_now(caller).everywhere(Right.AUDIT):
                    raise Forbidden("the right to read the audit log was withdrawn")
                yield lines
        except VirtumancerError as error:
            yield msgspec.json.encode({"code": error.code, "detail": error.message}) + b"\n"


def _wanted(req: Request) -> AuditWanted:
    given = req.get_param("since")
    try:
        since = None if given is None else msgspec.convert(given, Timestamp)
    except msgspec.ValidationError:
        raise InvalidValue("is no time such as 2026-11-24T08:00:00Z", field="since") from None
    return AuditWanted(
        actor=req.get_param("actor", default=""),
        host=req.get_param("host", default=""),
        vm=req.get_param("vm", default=""),
        outcome=req.get_param("outcome", default=""),
        since=since,
    )
