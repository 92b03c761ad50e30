"""Puts every request that may change something on record, before it is handled and after it."""

from typing import Any

from falcon.asgi import Request, Response

from virtumancer.http.api_paths import plain_path
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.middleware.trusted_host import SAFE_METHODS
from virtumancer.http.problems import request_id
from virtumancer.services.audit.log import LONGEST, AuditedAction, AuditLog, AuditRecord

__all__ = ["AuditMiddleware", "act_of", "note_target", "take_audit_record"]


def act_of(req: Request, params: dict[str, str]) -> AuditedAction:
    """Describe what a request asks for: its route, and what stands in the places of its path."""
    return AuditedAction(
        actor=caller_of(req).actor,
        address=req.remote_addr,
        what=f"{req.method} {plain_path(req.uri_template or '')}",
        target={name: value[:LONGEST] for name, value in params.items()},
        request_id=request_id(req),
    )


def note_target(req: Request, **facts: str) -> AuditRecord | None:
    """Have the record of a request say at its end what its path does not; returns the record, which may learn more."""
    begun: AuditRecord | None = getattr(req.context, "act", None)
    if begun is not None:
        begun.target.update({name: text[:LONGEST] for name, text in facts.items() if text})
    return begun


def take_audit_record(req: Request) -> AuditRecord | None:
    """Take over the record of a request: whoever does completes it, since what it is about goes on."""
    begun: AuditRecord | None = getattr(req.context, "act", None)
    req.context.act = None
    return begun


class AuditMiddleware:
    """Middleware that writes the begin of an act before its resource is called, and its end with the answer.

    What cannot be written down is not done. A resource with `records_itself` knows more of its acts. A request that
    names no route changes nothing and is not recorded.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    async def process_resource(self, req: Request, resp: Response, resource: Any, params: dict[str, str]) -> None:
        """Write that it begins."""
        if resource is not None and req.method not in SAFE_METHODS and not getattr(resource, "records_itself", False):
            req.context.act = await self._audit.begin(act_of(req, params))

    async def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Write what came of it."""
        begun: AuditRecord | None = getattr(req.context, "act", None)
        if begun is not None:
            await self._audit.end(begun, getattr(req.context, "problem_code", "") or "ok")
