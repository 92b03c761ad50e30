"""What every answer tells browsers: run nothing of it, show it in no frame, keep no copy."""

from typing import Any

from falcon.asgi import Request, Response

__all__ = ["PAGE_POLICY", "SecurityHeaders", "headers_of_refusal"]

API_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; img-src 'self' data:; "
    "object-src 'none'"
)
"""For pages that plugins bring: scripts, styles and connections of this server alone, nothing inline."""
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
UNLESS_SAID = {"Content-Security-Policy": API_POLICY, "Cache-Control": "no-store"}
A_YEAR = "max-age=31536000"


class SecurityHeaders:
    """Middleware that adds them; a policy or a cache rule that the resource set stays."""

    def __init__(self, *, tls: bool) -> None:
        self._always = _always(tls=tls)

    async def process_response(self, req: Request, resp: Response, resource: Any, req_succeeded: bool) -> None:
        """Add the headers, also to errors."""
        resp.set_headers(self._always)
        for name, value in UNLESS_SAID.items():
            if resp.get_header(name) is None:
                resp.set_header(name, value)


def headers_of_refusal(*, tls: bool) -> dict[str, str]:
    """Return them for an answer that comes from beneath the middleware."""
    return _always(tls=tls) | UNLESS_SAID


def _always(*, tls: bool) -> dict[str, str]:
    return ALWAYS | ({"Strict-Transport-Security": A_YEAR} if tls else {})
