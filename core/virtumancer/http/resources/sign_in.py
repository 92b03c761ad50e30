"""`/session`: browsers sign in and out."""

import falcon
from falcon.asgi import Request, Response
from msgspec import Struct

from virtumancer.contracts import Timestamp
from virtumancer.errors import Conflict, InvalidValue, TooManyAttempts, Unauthenticated
from virtumancer.http import examples
from virtumancer.http.api_paths import API
from virtumancer.http.endpoint import PUBLIC, SIGNED_IN, endpoint
from virtumancer.http.middleware.authorization import COOKIE, caller_of
from virtumancer.http.problems import request_id
from virtumancer.http.requests import BodyReader, send_json, send_secret
from virtumancer.services.auth import NewLink, NewWebSession, PrincipalDirectory, SignIn, SignInContext

__all__ = ["LinksResource", "SessionResource", "has_session", "set_cookie"]


class Credentials(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /session`: name and password, or what stands behind the # of a link.

    `replace` says that a link may end the session of somebody else that this browser has.
    """

    user: str = ""
    password: str = ""
    link: str = ""
    replace: bool = False


class Session(Struct, frozen=True):
    """Whether the caller is signed in, and as whom."""

    signed_in: bool
    actor: str
    expires_at: Timestamp | None
    oidc: str = ""
    """What the provider is called where people can sign in with OpenID Connect; empty when there is none."""


class SessionResource:
    """The session of the browser that asks."""

    records_itself = True

    def __init__(self, sign_in: SignIn, bodies: BodyReader, *, asked: bool) -> None:
        self._sign_in = sign_in
        self._bodies = bodies
        self._asked = asked

    @endpoint(
        "getSession",
        "access",
        path=API / "session",
        right=PUBLIC,
        answer=Session,
        example=Session(True, "user alice", examples.NOON),
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Say whether the caller is signed in, and as whom.

        While `server.auth` is `off` everybody is.
        """
        caller = caller_of(req)
        oidc = self._sign_in.oidc.name if self._sign_in.oidc else ""
        send_json(resp, Session(bool(caller.key) or not self._asked, caller.actor, caller.expires_at, oidc))

    @endpoint(
        "signIn",
        "access",
        path=API / "session",
        right=PUBLIC,
        body=Credentials,
        secret_body=True,
        answer=Session,
        errors=(Conflict, InvalidValue, TooManyAttempts, Unauthenticated),
        example=Session(True, "user alice", examples.NOON),
        body_example=Credentials("alice", "…"),
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Sign a browser in, with name and password or with a link.

        The answer sets a cookie that lasts for 12 hours and that scripts do not see. A session that the browser had
        ends. A link of somebody else than who has the session is refused, 409, unless `replace` is true: whoever sent
        it may want others to work in their name.
        """
        if not self._asked:
            raise Conflict("nobody is asked who they are: start the server with --auth token first")
        body = await self._bodies.decode_optional(req, Credentials)
        visit = SignInContext(req.remote_addr, request_id(req))
        if body.link:
            signed_in = caller_of(req).actor if has_session(req) and not body.replace else ""
            begun = await self._sign_in.by_link(body.link, visit, signed_in)
        elif body.user:
            begun = await self._sign_in.by_password(body.user, body.password, visit)
        else:
            raise InvalidValue("give user and password, or a link", field="user")
        if has_session(req):
            await self._sign_in.out(caller_of(req))
        set_cookie(resp, begun)
        send_json(resp, Session(True, begun.actor, begun.expires_at))

    @endpoint("signOut", "access", path=API / "session", right=SIGNED_IN, status=204, errors=(Conflict,))
    async def on_delete(self, req: Request, resp: Response) -> None:
        """Sign the browser out; consoles and WebSockets of this session are closed at once."""
        if not has_session(req):
            raise Conflict("there is no session to end: this caller did not sign in with a browser")
        await self._sign_in.out(caller_of(req))
        resp.unset_cookie(COOKIE, path="/", same_site="Strict")
        resp.status = falcon.HTTP_204


class LinksResource:
    """Links that sign a browser in."""

    def __init__(self, callers: PrincipalDirectory) -> None:
        self._callers = callers

    @endpoint(
        "createSignInLink",
        "access",
        path=API / "session" / "links",
        right=SIGNED_IN,
        status=201,
        answer=NewLink,
        errors=(Conflict,),
        example=NewLink("/sign-in/#0f…", examples.NOON),
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Make a link that signs a browser in as the caller, who has a token: once, within ten minutes."""
        link = await self._callers.make_link(caller_of(req))
        resp.status = falcon.HTTP_201
        send_secret(resp, link)


def has_session(req: Request) -> bool:
    """Say whether the caller is a browser that is signed in."""
    return caller_of(req).key.startswith("web:")


def set_cookie(resp: Response, begun: NewWebSession) -> None:
    """Give a browser its session.

    Browsers take a secure cookie without TLS from their own machine alone, which is where we serve without it.
    """
    resp.set_cookie(
        COOKIE, begun.secret, expires=begun.expires_at, path="/", secure=True, http_only=True, same_site="Strict"
    )
