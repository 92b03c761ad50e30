"""The stream of events goes on where it was, whatever the network does, against a server that does as it is told."""

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing

import pytest

from virtumancer.client import ApiError, AsyncClient, Client, Retries, ServerUnreachable, StreamEvent

QUICK = Retries(attempts=5, first_pause=0.001, longest_pause=0.01)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(number: int, kind: str = "vm.started", **data: object) -> bytes:
    document = {"id": number, "at": "2026-11-26T12:00:00Z", "type": kind, "host": "kvm1", "data": data}
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(document)}\n\n".encode()


class EventServer:
    """Keeps events up to a number, and sends those behind `Last-Event-ID`; `script` says how each connection ends."""

    def __init__(self, last: int, script: Callable[[int], int]) -> None:
        self.last = last
        self.asked: list[tuple[str, str]] = []
        self._script = script

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        self.asked.append((head.split()[1], headers.get("last-event-id", "")))
        sent = b": welcome\n\n" + b"".join(
            event(n) for n in range(int(headers.get("last-event-id", 0)) + 1, self.last + 1)
        )
        # Broken off anywhere, in the middle of an event too.
        sent = sent[: self._script(len(self.asked))]
        writer.write(HEAD + f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
        await writer.drain()
        writer.transport.abort() if self._script(len(self.asked)) < len(sent) + 1 else writer.close()


async def follow(server: EventServer, count: int) -> list[StreamEvent]:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with AsyncClient(f"http://127.0.0.1:{port}") as client:
            seen: list[StreamEvent] = []
            async with aclosing(client.events.follow(since=0, host="kvm1", retries=QUICK)) as stream:
                async for happened in stream:
                    seen.append(happened)
                    if len(seen) == count:
                        return seen
            return seen


async def test_every_event_is_told_once_however_often_the_connection_breaks() -> None:
    server = EventServer(2000, lambda attempt: 3000 + attempt * 37)
    seen = await follow(server, 2000)
    assert [happened.id for happened in seen] == list(range(1, 2001))
    assert len(server.asked) > 20
    assert server.asked[0] == ("/api/v1/events?host=kvm1", "0")


async def test_an_event_that_is_told_again_is_left_out() -> None:
    class Forgetful(EventServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            self.asked.append(("", ""))
            sent = b"".join(event(n) for n in range(1, 3 + len(self.asked)))
            writer.write(HEAD + f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
            writer.close()

    seen = await follow(Forgetful(0, lambda _: 0), 6)
    assert [happened.id for happened in seen] == [1, 2, 3, 4, 5, 6]


async def test_a_stream_that_the_server_ends_with_a_reason_is_gone_on_with() -> None:
    class Restless(EventServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            last = int(head.partition("last-event-id: ")[2].split()[0])
            self.asked.append(("", str(last)))
            words = b'event: error\ndata: {"code": "too-slow", "detail": "read faster"}\n\n'
            sent = b"retry: 2000\nid: %d\n\n" % last + event(last + 1) + b"id: %d\n\n" % (last + 3) + words
            writer.write(HEAD + f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
            writer.close()

    server = Restless(0, lambda _: 0)
    assert [happened.id for happened in await follow(server, 3)] == [1, 4, 7]
    assert [last for _, last in server.asked] == ["0", "3", "6"]


async def test_a_server_that_stays_away_is_an_error_in_the_end() -> None:
    server = EventServer(10, lambda _: 0)
    with pytest.raises(ServerUnreachable):
        await follow(server, 1)
    assert len(server.asked) == QUICK.attempts


async def test_what_cannot_be_mended_is_raised_at_once(url: str) -> None:
    async with AsyncClient(url, token="vmt_wrong") as client:
        with pytest.raises(ApiError):
            async for _ in client.events.follow(types=["no such type"]):
                pass


async def test_a_generator_that_is_left_closes_its_connection() -> None:
    server = EventServer(10, lambda _: 1_000_000)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]

        def work() -> int:
            with Client(f"http://127.0.0.1:{port}") as client:
                for happened in client.events.follow(since=3):
                    return happened.id
            return 0

        assert await asyncio.to_thread(work) == 4
