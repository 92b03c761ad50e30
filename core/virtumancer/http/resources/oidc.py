"""`/session/oidc`: browsers go to the OpenID provider to sign in, and come back."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import falcon
import structlog
from falcon.asgi import Request, Response

from virtumancer.errors import NotFound, SignInFailed, TooManyAttempts
from virtumancer.http.api_paths import API
from virtumancer.http.endpoint import PUBLIC, Header, Query, endpoint
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.problems import request_id
from virtumancer.http.resources.sign_in import has_session, set_cookie
from virtumancer.services.auth import SignIn, SignInContext
from virtumancer.services.auth.oidc import OIDCAnswer

if TYPE_CHECKING:
    from virtumancer.services.auth.oidc.flow import OIDCLogin

__all__ = ["OIDCCallbackResource", "OIDCStartResource"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# The prefix makes browsers take it from nobody but this very server: not from a neighbour below the same domain.
COOKIE = "__Host-virtumancer-oidc"
LIFETIME = timedelta(minutes=10)
PAGE = "/sign-in/"
"""Whatever comes of it, this is where the browser ends: nothing of a request decides that."""
LOCATION = Header("Location", "Where the browser goes next.")


class OIDCStartResource:
    """The way to the provider."""

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    @endpoint(
        "startOIDC",
        "access",
        path=API / "session" / "oidc" / "start",
        right=PUBLIC,
        status=303,
        headers=(LOCATION,),
        errors=(NotFound,),
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Send a browser to the OpenID provider to sign in.

        A session that the browser has ends. When the provider cannot be reached the browser is sent to `/sign-in/`.
        """
        login = _login(self._sign_in)
        try:
            begun = await login.start()
        except SignInFailed as failure:
            log.warning("nobody can sign in at the OpenID provider", reason=failure.message)
            _send_to_page(resp, failure.why)
            return
        if has_session(req):
            await self._sign_in.out(caller_of(req))
        _keep(resp, begun.secret, LIFETIME)
        _send_to(resp, begun.url)


class OIDCCallbackResource:
    """The way back."""

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in

    @endpoint(
        "finishOIDC",
        "access",
        path=API / "session" / "oidc" / "callback",
        right=PUBLIC,
        status=303,
        query=(
            Query("code", str, "What the provider gives for who signed in."),
            Query("state", str, "What it was sent with the browser."),
            Query("error", str, "Why it gives nothing."),
            Query("iss", str, "Which provider it is."),
        ),
        headers=(LOCATION,),
        errors=(NotFound,),
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Take back a browser that the OpenID provider sends, and begin its session.

        Whatever comes of it, the browser is sent to `/sign-in/`, which says what.
        """
        login = _login(self._sign_in)
        given = {name: req.get_param(name) or "" for name in ("code", "state", "error", "iss")}
        answer = OIDCAnswer(req.cookies.get(COOKIE, ""), given["state"], given["code"], given["error"], given["iss"])
        _keep(resp, "", -LIFETIME)
        try:
            begun = await self._sign_in.by_oidc(login, answer, SignInContext(req.remote_addr, request_id(req)))
        except SignInFailed as failure:
            _send_to_page(resp, failure.why)
        except TooManyAttempts:
            _send_to_page(resp, "wait")
        else:
            set_cookie(resp, begun)
            _send_to_page(resp)


def _login(sign_in: SignIn) -> "OIDCLogin":
    if sign_in.oidc is None:
        raise NotFound("nobody signs in here with OpenID Connect: no provider is configured (oidc.issuer)")
    return sign_in.oidc


def _keep(resp: Response, secret: str, lifetime: timedelta) -> None:
    """Keep the secret of an attempt in the browser; lax, since the way back begins at another site."""
    ends = datetime.now(UTC) + lifetime
    resp.set_cookie(COOKIE, secret, expires=ends, path="/", secure=True, http_only=True, same_site="Lax")


def _send_to_page(resp: Response, problem: str = "") -> None:
    _send_to(resp, f"{PAGE}?problem={problem}" if problem else PAGE)


def _send_to(resp: Response, place: str) -> None:
    resp.status = falcon.HTTP_303
    resp.location = place
