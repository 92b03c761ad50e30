"""HEAD: answered as GET would be, without the body."""

import asyncio
from typing import Any

from virtumancer.http.asgi.path_segments import ASGIApp

__all__ = ["with_head"]

METHOD_NOT_ALLOWED = 405


def with_head(app: ASGIApp) -> ASGIApp:
    """Wrap an ASGI application that knows GET so that it answers HEAD too, and says so in `Allow`."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["method"] == "HEAD":
            ended = asyncio.Event()
            await app(scope | {"method": "GET"}, _until(ended, receive), _without_body(send, ended))
        elif scope["method"] == "GET":
            await app(scope, receive, send)  # where it is not allowed, HEAD is not either
        else:
            await app(scope, receive, _allowing_head(send, options=scope["method"] == "OPTIONS"))

    return wrapped


def _until(ended: asyncio.Event, receive: Any) -> Any:
    """Say behind the headers that the client has left: it takes nothing more, and what is made for it may end."""

    async def receive_message() -> Any:
        return {"type": "http.disconnect"} if ended.is_set() else await receive()

    return receive_message


def _without_body(send: Any, ended: asyncio.Event) -> Any:
    """End the answer behind its headers: one that stays open would never come to its end."""

    async def send_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            await send(_with_head_allowed(message))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            ended.set()

    return send_headers


def _allowing_head(send: Any, *, options: bool) -> Any:
    async def send_message(message: Any) -> None:
        if message["type"] == "http.response.start" and (options or message["status"] == METHOD_NOT_ALLOWED):
            message = _with_head_allowed(message)
        await send(message)

    return send_message


def _with_head_allowed(message: Any) -> Any:
    headers = message.get("headers", ())
    for index, (name, value) in enumerate(headers):
        if name == b"allow":
            methods = [method.strip() for method in value.split(b",")]
            if b"GET" in methods and b"HEAD" not in methods:
                changed = list(headers)
                changed[index] = (name, b", ".join([*methods, b"HEAD"]))
                return {**message, "headers": changed}
    return message
