"""The end of an answer beneath Falcon: requests that are cut short because the server stops get a reason."""

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec

from virtumancer.http.asgi.path_segments import ASGIApp
from virtumancer.http.asgi.streaming import KEY, NotTaken, StreamingResponse
from virtumancer.http.problem_document import MEDIA_TYPE, problem_document
from virtumancer.http.security_headers import headers_of_refusal

__all__ = ["ShutdownResponder"]

DETAIL = "the server stops, and this request was not done in time; whether it had an effect is not known"


class ShutdownResponder:
    """Hands requests to `app`, so that `open_answer` finds the answer of each, and sockets and lifespans to `others`.

    Once `stopping` is set, a request that the server cancels is answered with 503.
    """

    def __init__(self, app: ASGIApp, others: ASGIApp) -> None:
        self._app = app
        self._others = others
        self.stopping = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        answer = StreamingResponse(receive, send)
        try:
            if scope["type"] != "http":
                await self._others(scope, receive, send)
                return
            try:
                await self._app(scope | {KEY: answer}, receive, answer.send)
            except NotTaken:
                await answer.end()
        except asyncio.CancelledError:
            # Passed on, the server would take it for a defect and log a traceback.
            if not self.stopping or scope["type"] == "lifespan":
                raise
            if scope["type"] == "http" and not answer.started:
                await _answer(send, tls=scope.get("scheme") == "https")


async def _answer(send: Any, *, tls: bool) -> None:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    document = problem_document(status, "stopping", DETAIL)
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Retry-After": "5",
        "Connection": "close",
        **headers_of_refusal(tls=tls),
    }
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(status), "headers": encoded})
    await send({"type": "http.response.body", "body": msgspec.json.encode(document)})
