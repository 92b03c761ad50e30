"""Who may do what: the caller, API tokens and users."""

from collections.abc import Sequence
from datetime import datetime

from virtumancer.client.transport import Outgoing, Transport, path_of
from virtumancer.contracts.access import Grant, Me, NewLink, NewToken, TokenInfo, UserInfo, WebSessionInfo

__all__ = ["AsyncAccess"]


class AsyncAccess:
    """`/me`, `/tokens` and `/users`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def me(self) -> Me:
        """Say who the caller is, and what they may do."""
        return await self._transport.get("/me", Me)

    async def change_password(self, current: str, new: str) -> None:
        """Change the password of the caller, who is a user."""
        await self._send("PUT", path_of("me", "password"), {"current": current, "new": new})

    async def tokens(self) -> tuple[TokenInfo, ...]:
        """List the API tokens, oldest first."""
        return await self._transport.get("/tokens", tuple[TokenInfo, ...])

    async def token(self, token: str) -> TokenInfo:
        """Describe the token of this id."""
        return await self._transport.get(path_of("tokens", token), TokenInfo)

    async def make_token(self, name: str, grants: Sequence[Grant], expires_at: datetime | None = None) -> NewToken:
        """Make a token, which is shown this once only."""
        body = {"name": name, "grants": tuple(grants), "expires_at": expires_at}
        return await self._transport.fetch(Outgoing(method="POST", path="/tokens", body=body), NewToken)

    async def change_token(self, token: str, grants: Sequence[Grant]) -> TokenInfo:
        """Give a token other grants, in place of those it has."""
        body = {"grants": tuple(grants)}
        return await self._transport.fetch(
            Outgoing(method="PATCH", path=path_of("tokens", token), body=body), TokenInfo
        )

    async def remove_token(self, token: str) -> None:
        """Withdraw a token; what lives by it ends."""
        await self._send("DELETE", path_of("tokens", token))

    async def users(self) -> tuple[UserInfo, ...]:
        """List the users, by name."""
        return await self._transport.get("/users", tuple[UserInfo, ...])

    async def user(self, name: str) -> UserInfo:
        """Describe a user."""
        return await self._transport.get(path_of("users", name), UserInfo)

    async def make_user(self, name: str, password: str, grants: Sequence[Grant]) -> UserInfo:
        """Make a user, who can sign in to the web page."""
        body = {"name": name, "password": password, "grants": tuple(grants)}
        return await self._transport.fetch(Outgoing(method="POST", path="/users", body=body), UserInfo)

    async def change_user(
        self, name: str, *, password: str | None = None, grants: Sequence[Grant] | None = None
    ) -> UserInfo:
        """Give a user another password, other grants, or both."""
        given = {"password": password, "grants": None if grants is None else tuple(grants)}
        body = {key: value for key, value in given.items() if value is not None}
        return await self._transport.fetch(Outgoing(method="PATCH", path=path_of("users", name), body=body), UserInfo)

    async def remove_user(self, name: str) -> None:
        """Remove a user; their sessions end."""
        await self._send("DELETE", path_of("users", name))

    async def sign_in_link(self) -> NewLink:
        """Make a link that signs a browser in as the caller, once."""
        return await self._transport.fetch(Outgoing(method="POST", path="/session/links"), NewLink)

    async def web_sessions(self) -> tuple[WebSessionInfo, ...]:
        """List the browsers that are signed in."""
        return await self._transport.get("/sessions", tuple[WebSessionInfo, ...])

    async def end_web_session(self, session: str) -> None:
        """Sign a browser out."""
        await self._send("DELETE", path_of("sessions", session))

    async def _send(self, method: str, path: str, body: object = None) -> None:
        await self._transport.send(Outgoing(method=method, path=path, body=body))
