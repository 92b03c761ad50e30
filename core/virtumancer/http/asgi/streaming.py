"""Answers that stay open: what is sent has to be taken in time, and who leaves is noticed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from falcon.asgi import Request

__all__ = ["KEY", "NotTaken", "PieceStream", "StreamingResponse", "open_answer"]

KEY = "virtumancer.answer"
Message = MutableMapping[str, Any]


class NotTaken(Exception):
    """The client did not take what was sent in time."""


class StreamingResponse:
    """One HTTP answer beneath Falcon, which neither has a deadline for sending nor sees a client leave a stream."""

    def __init__(self, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        self._receive = receive
        self._send = send
        self._seconds: float | None = None
        self.started = False
        """Whether the client was told anything yet."""
        self._last_words = b""

    def limit(self, seconds: float, last_words: bytes) -> None:
        """Give the client so long for each part from now on; one who is slower gets the last words instead."""
        self._seconds, self._last_words = seconds, last_words

    async def send(self, message: Message) -> None:
        """Send what Falcon sends. Raises `NotTaken`."""
        self.started = True
        if self._seconds is None:
            await self._send(message)
            return
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            raise NotTaken from None

    async def end(self) -> None:
        """Say the last words, which are taken as soon as the client reads again; the server cuts off who never does."""
        await self._send({"type": "http.response.body", "body": self._last_words, "more_body": False})

    async def until_gone(self) -> None:
        """Wait until the client has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class PieceStream:
    """The pieces of an answer, until they end or its client has left; the first is there before it begins.

    Falcon closes it.
    """

    def __init__(self, answer: StreamingResponse, pieces: AsyncGenerator[bytes]) -> None:
        self._answer = answer
        self._pieces = pieces
        self._first: bytes | None = None

    async def begin(self) -> None:
        """Wait for the first piece. Raises what comes instead of it."""
        self._first = await anext(self._pieces, None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._all()

    async def _all(self) -> AsyncGenerator[bytes]:
        if self._first is None:
            return
        gone = asyncio.create_task(self._answer.until_gone(), name="waiting for a client to leave")
        try:
            yield self._first
            async for piece in self._pieces:
                if gone.done():  # nobody is there to take what may have no end
                    return
                yield piece
        finally:
            gone.cancel()

    async def close(self) -> None:
        """End what yields them."""
        await self._pieces.aclose()


def open_answer(request: Request) -> StreamingResponse:
    """Return the answer beneath Falcon's."""
    answer: StreamingResponse = request.scope[KEY]
    return answer
