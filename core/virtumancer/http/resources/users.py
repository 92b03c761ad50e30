"""`/users` and `/me/password`: people who sign in with a password."""

from typing import Annotated
from urllib.parse import quote

import falcon
from falcon.asgi import Request, Response
from msgspec import Meta, Struct

from virtumancer.errors import Conflict, Forbidden, InvalidValue, NotFound, PreconditionFailed, TooManyAttempts
from virtumancer.http import examples
from virtumancer.http.api_paths import API, Parameter
from virtumancer.http.endpoint import SIGNED_IN, Header, endpoint
from virtumancer.http.list_schemas import users_shape
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.middleware.etag import as_known
from virtumancer.http.pagination import LINK, LIST_ERRORS, LIST_QUERY, asked_of, send_list
from virtumancer.http.requests import BodyReader, send_json
from virtumancer.services.auth import Grant, Right, SignIn, UserInfo, Users

__all__ = ["PasswordResource", "UserResource", "UsersResource"]

USERS = API / "users"
USER_NAME = Parameter("user", "The name of a user.", example="alice")
VIEWER = (Grant(role="viewer", host="kvm1"),)
USER = UserInfo(
    name="alice",
    grants=VIEWER,
    created_at=examples.NOON,
    created_by="token admin@manager (0badcafe)",
    password_at=examples.NOON,
)


# Only for the schema: the service refuses the others, with a sentence that says more.
Name = Annotated[str, Meta(extra_json_schema={"pattern": "^[a-z0-9][a-z0-9._@-]{0,62}$"})]
Password = Annotated[str, Meta(extra_json_schema={"minLength": 12, "maxLength": 256})]


class UserRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /users`."""

    name: Name
    """1 to 63 characters of a-z 0-9 . _ @ -"""
    password: Password
    """12 to 256 characters."""
    grants: tuple[Grant, ...]


class UserChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /users/{user}`; what is left out stays."""

    password: Password | None = None
    grants: tuple[Grant, ...] | None = None


class PasswordChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT /me/password`."""

    current: str
    new: Password


class UsersResource:
    """All users."""

    def __init__(self, users: Users, bodies: BodyReader) -> None:
        self._users = users
        self._bodies = bodies

    @endpoint(
        "listUsers",
        "access",
        path=USERS,
        right=Right.ACCESS,
        answer=tuple[UserInfo, ...],
        query=LIST_QUERY,
        headers=(LINK,),
        errors=LIST_ERRORS,
        example=[USER],
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """List all users by name, without their passwords."""
        send_list(req, resp, self._users.infos(), asked_of(req, users_shape()))

    @endpoint(
        "createUser",
        "access",
        path=USERS,
        right=Right.ACCESS,
        status=201,
        body=UserRequest,
        secret_body=True,
        answer=UserInfo,
        headers=(Header("Location", "The path of the new user."),),
        errors=(Conflict, Forbidden, InvalidValue),
        example=USER,
        body_example=UserRequest("alice", "correct horse battery", VIEWER),
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        """Make a user, who can do no more than who makes it."""
        body = await self._bodies.decode(req, UserRequest)
        made = await self._users.create(body.name, body.password, body.grants, caller_of(req))
        resp.status = falcon.HTTP_201
        resp.location = f"{req.path.rstrip('/')}/{quote(made.name)}"
        send_json(resp, made)


class UserResource:
    """One user."""

    def __init__(self, users: Users, bodies: BodyReader) -> None:
        self._users = users
        self._bodies = bodies

    @endpoint(
        "getUser",
        "access",
        path=USERS / USER_NAME,
        right=Right.ACCESS,
        answer=UserInfo,
        errors=(NotFound,),
        example=USER,
    )
    async def on_get(self, _req: Request, resp: Response, user: str) -> None:
        """Describe a user."""
        send_json(resp, self._users.info(user))

    @endpoint(
        "changeUser",
        "access",
        path=USERS / USER_NAME,
        right=Right.ACCESS,
        body=UserChange,
        secret_body=True,
        answer=UserInfo,
        errors=(Conflict, NotFound, PreconditionFailed, Forbidden, InvalidValue),
        example=USER,
        body_example=UserChange(grants=VIEWER),
    )
    async def on_patch(self, req: Request, resp: Response, user: str) -> None:
        """Replace what a user may do, or the password, which ends the user's sessions.

        Consoles and WebSockets that live by a right that is gone are closed at once.
        """
        body = await self._bodies.decode_optional(req, UserChange)
        async with as_known(req, lambda: self._users.info(user)):
            send_json(resp, await self._users.change(user, body.grants, body.password, caller_of(req)))

    @endpoint(
        "removeUser",
        "access",
        path=USERS / USER_NAME,
        right=Right.ACCESS,
        status=204,
        errors=(Conflict, NotFound, PreconditionFailed, Forbidden),
    )
    async def on_delete(self, req: Request, resp: Response, user: str) -> None:
        """Remove a user; their sessions end, and what lives by them is closed at once."""
        async with as_known(req, lambda: self._users.info(user)):
            await self._users.remove(user, caller_of(req))
        resp.status = falcon.HTTP_204


class PasswordResource:
    """The password of the caller."""

    def __init__(self, sign_in: SignIn, bodies: BodyReader) -> None:
        self._sign_in = sign_in
        self._bodies = bodies

    @endpoint(
        "changePassword",
        "access",
        path=API / "me" / "password",
        right=SIGNED_IN,
        status=204,
        body=PasswordChange,
        secret_body=True,
        errors=(Conflict, InvalidValue, TooManyAttempts),
        body_example=PasswordChange("correct horse battery", "correct horse battery"),
    )
    async def on_put(self, req: Request, resp: Response) -> None:
        """Change the caller's own password; all sessions of this user end."""
        body = await self._bodies.decode(req, PasswordChange)
        await self._sign_in.change_password(caller_of(req), body.current, body.new, req.remote_addr)
        resp.status = falcon.HTTP_204
