"""`/tokens` and `/me`: who may call, and what the caller may do."""

from urllib.parse import quote

import falcon
from falcon.asgi import Request, Response
from msgspec import Struct

from virtumancer.contracts import Timestamp
from virtumancer.contracts.access import Me
from virtumancer.errors import Conflict, Forbidden, InvalidValue, NotFound, PreconditionFailed
from virtumancer.http import examples
from virtumancer.http.api_paths import API, Parameter
from virtumancer.http.endpoint import SIGNED_IN, Header, endpoint
from virtumancer.http.list_schemas import tokens_shape
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.middleware.etag import as_known
from virtumancer.http.pagination import LINK, LIST_ERRORS, LIST_QUERY, asked_of, send_list
from virtumancer.http.requests import BodyReader, send_json, send_secret
from virtumancer.services.auth import Grant, NewToken, Right, TokenInfo, Tokens

__all__ = ["MeResource", "TokenResource", "TokensResource"]


class TokenRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /tokens`."""

    name: str
    """What it is for, for people."""
    grants: tuple[Grant, ...]
    expires_at: Timestamp | None = None
    """Until when it is valid; null for as long as nobody withdraws it."""


class TokenChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /tokens/{token}`."""

    grants: tuple[Grant, ...]
    """What it may do from now on, instead of what it could."""


TOKENS = API / "tokens"
TOKEN_ID = Parameter("token", "The id of an API token.", pattern="^[0-9a-f]{8}$", example="5f2a91c0")
TOKEN = TokenInfo(
    id="5f2a91c0",
    name="nightly backup",
    grants=(Grant(role="viewer", host="kvm1"),),
    created_at=examples.NOON,
    created_by="token admin@manager (0badcafe)",
    expires_at=None,
    last_used_at=None,
)


class MeResource:
    """The caller."""

    @endpoint(
        "getMe",
        "access",
        path=API / "me",
        right=SIGNED_IN,
        answer=Me,
        example=Me("anonymous", (Grant(role="admin"),), None),
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Say who the caller is and what they may do.

        While `server.auth` is `off` everybody is `anonymous` and may do everything.
        """
        caller = caller_of(req)
        send_json(resp, Me(caller.actor, caller.grants, caller.expires_at))


class TokensResource:
    """All API tokens."""

    def __init__(self, tokens: Tokens, bodies: BodyReader) -> None:
        self._tokens = tokens
        self._bodies = bodies

    @endpoint(
        "listTokens",
        "access",
        path=TOKENS,
        right=Right.ACCESS,
        answer=tuple[TokenInfo, ...],
        query=LIST_QUERY,
        headers=(LINK,),
        errors=LIST_ERRORS,
        example=[TOKEN],
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """List all API tokens, oldest first, without the tokens themselves."""
        send_list(req, resp, self._tokens.infos(), asked_of(req, tokens_shape()))

    @endpoint(
        "createToken",
        "access",
        path=TOKENS,
        right=Right.ACCESS,
        status=201,
        body=TokenRequest,
        answer=NewToken,
        headers=(Header("Location", "The path of the new token."),),
        errors=(Conflict, Forbidden, InvalidValue),
        example=NewToken("vmt_5f2a91c0_…", TOKEN),
        body_example=TokenRequest("nightly backup", (Grant(role="viewer", host="kvm1"),)),
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Make an API token, which is shown this once.

        It can do no more than who makes it.
        """
        body = await self._bodies.decode(req, TokenRequest)
        made = await self._tokens.create(body.name, body.grants, body.expires_at, caller_of(req))
        resp.status = falcon.HTTP_201
        resp.location = f"{req.path.rstrip('/')}/{quote(made.info.id)}"
        send_secret(resp, made)


class TokenResource:
    """One API token."""

    def __init__(self, tokens: Tokens, bodies: BodyReader) -> None:
        self._tokens = tokens
        self._bodies = bodies

    @endpoint(
        "getToken",
        "access",
        path=TOKENS / TOKEN_ID,
        right=Right.ACCESS,
        answer=TokenInfo,
        errors=(NotFound,),
        example=TOKEN,
    )
    async def on_get(self, _req: Request, resp: Response, token: str) -> None:
        """Describe an API token."""
        send_json(resp, self._tokens.info(token))

    @endpoint(
        "changeToken",
        "access",
        path=TOKENS / TOKEN_ID,
        right=Right.ACCESS,
        body=TokenChange,
        answer=TokenInfo,
        errors=(Conflict, NotFound, PreconditionFailed, Forbidden, InvalidValue),
        example=TOKEN,
        body_example=TokenChange((Grant(role="viewer", host="kvm1"),)),
    )
    async def on_patch(self, req: Request, resp: Response, token: str) -> None:
        """Replace what an API token may do.

        Consoles and WebSockets that live by a right it has no more are closed at once.
        """
        body = await self._bodies.decode(req, TokenChange)
        async with as_known(req, lambda: self._tokens.info(token)):
            send_json(resp, await self._tokens.change(token, body.grants, caller_of(req)))

    @endpoint(
        "revokeToken",
        "access",
        path=TOKENS / TOKEN_ID,
        right=Right.ACCESS,
        status=204,
        errors=(Conflict, NotFound, PreconditionFailed, Forbidden),
    )
    async def on_delete(self, req: Request, resp: Response, token: str) -> None:
        """Withdraw an API token: it is not valid any more, and what lives by it is closed at once."""
        async with as_known(req, lambda: self._tokens.info(token)):
            await self._tokens.revoke(token, caller_of(req))
        resp.status = falcon.HTTP_204
