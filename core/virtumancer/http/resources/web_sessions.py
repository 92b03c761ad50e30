"""`/sessions`: the browsers that are signed in."""

import falcon
from falcon.asgi import Request, Response

from virtumancer.contracts.access import WebSessionInfo
from virtumancer.errors import Forbidden, NotFound
from virtumancer.http import examples
from virtumancer.http.api_paths import API, Parameter
from virtumancer.http.endpoint import endpoint
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.requests import send_json
from virtumancer.services.auth import Right, WebSessions

__all__ = ["WebSessionResource", "WebSessionsResource"]

SESSIONS = API / "sessions"
SESSION_PATH = SESSIONS / Parameter(
    "session",
    "The id of a browser's session.",
    pattern="^[0-9a-f]{16}$",
    example="4be1c07a92d35f68",
    component="web-session",
)
SESSION = WebSessionInfo("4be1c07a92d35f68", "user alice", examples.NOON, examples.NOON)


class WebSessionsResource:
    """All sessions of browsers."""

    def __init__(self, sessions: WebSessions) -> None:
        self._sessions = sessions

    @endpoint(
        "listSessions",
        "access",
        path=SESSIONS,
        right=Right.ACCESS,
        answer=tuple[WebSessionInfo, ...],
        example=[SESSION],
    )
    async def on_get(self, _req: Request, resp: Response) -> None:
        """List the browsers that are signed in, oldest first."""
        send_json(resp, self._sessions.infos())


class WebSessionResource:
    """One session of a browser."""

    def __init__(self, sessions: WebSessions) -> None:
        self._sessions = sessions

    @endpoint("endSession", "access", path=SESSION_PATH, right=Right.ACCESS, status=204, errors=(NotFound, Forbidden))
    async def on_delete(self, req: Request, resp: Response, session: str) -> None:
        """Sign a browser out: consoles and WebSockets of its session are closed at once."""
        await self._sessions.end_for(session, caller_of(req))
        resp.status = falcon.HTTP_204
