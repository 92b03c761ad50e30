"""A reader of server-sent events over a real socket, as careful as a browser and no cleverer."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2


class Stream:
    """An open stream: `next` returns events as they come; `last_id` is where a browser would resume."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.last_id = ""
        self._lines = answer.aiter_lines()

    async def next(self, seconds: float = 5.0) -> dict[str, Any]:
        """Return the next event's data, as its `event:` and `id:` lines say it; raises `EOFError` at the end."""
        async with asyncio.timeout(seconds):
            while True:
                fields = await self.block()
                self.last_id = fields.get("id", self.last_id)
                if "data" not in fields:
                    continue
                document: dict[str, Any] = json.loads(fields["data"])
                if fields["event"] == "error":
                    return {"error": document}
                assert fields["event"] == document["type"]
                assert fields["id"] == str(document["id"])
                return document

    async def until(self, type_: str, seconds: float = 5.0) -> dict[str, Any]:
        """Return the next event of this type; others are passed over."""
        async with asyncio.timeout(seconds):
            while (event := await self.next()).get("type") != type_:
                pass
            return event

    async def quiet(self, seconds: float = 0.3) -> list[dict[str, Any]]:
        """Return what comes within so many seconds, normally nothing."""
        found = []
        try:
            while True:
                found.append(await self.next(seconds))
        except TimeoutError:
            return found

    async def block(self) -> dict[str, str]:
        """Return the fields of the next block, be it an event's or not; the first comes as soon as it is open."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                return fields
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
        raise EOFError


@asynccontextmanager
async def following(
    url: str, query: str = "", *, token: str = "", last_id: str = "", status: int = 200
) -> AsyncIterator[Stream]:
    headers = {"Accept": "text/event-stream"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Last-Event-ID": last_id} if last_id else {}
    async with (
        httpx2.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("GET", f"{url}/api/v1/events{query}", headers=headers) as answer,
    ):
        assert answer.status_code == status, await answer.aread()
        yield Stream(answer)
