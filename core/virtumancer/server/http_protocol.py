"""uvicorn's HTTP with an end to its patience: for requests that trickle in, for answers that nobody reads."""

import asyncio
from collections.abc import Collection
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import h11
import msgspec
from msgspec import Struct
from uvicorn.protocols.http.h11_impl import H11Protocol

from virtumancer.http.problem_document import MEDIA_TYPE, problem_document, reason_phrase
from virtumancer.http.security_headers import headers_of_refusal
from virtumancer.server.forwarded import as_known_by
from virtumancer.server.request_head import StrictH11Connection
from virtumancer.server.timeouts import NEVER, ReadDeadline, WriteStall

__all__ = ["BoundedProtocol", "ConnectionLimits"]


class ConnectionLimits(Struct, frozen=True):
    """How many connections there may be, and how long each may keep us waiting."""

    total: int
    per_address: int
    spared: tuple[IPv4Network | IPv6Network, ...]
    """Networks whose addresses are not counted by themselves: proxies bring the connections of many."""
    request_timeout: float
    response_timeout: float

    def excess(self, connections: Collection[Any], address: str) -> str:
        """Say what there is too much of when this connection is one of them; empty when it may stay."""
        if len(connections) > self.total:
            return f"this server has {self.total} connections, the most it may have (connections.max_total)"
        if len(connections) <= self.per_address or self._is_spared(address):
            return ""
        if sum(1 for other in connections if other.client and other.client[0] == address) > self.per_address:
            return f"{address} has {self.per_address} connections, the most it may have (connections.max_per_address)"
        return ""

    def _is_spared(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return found.is_loopback or any(found in network for network in self.spared)


class BoundedProtocol(H11Protocol):
    """One connection of a client. `check` is called every second and ends it when it is due."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = self._heads = StrictH11Connection()
        self._limits = limits
        self._reading = ReadDeadline(limits.request_timeout)
        self._drain = WriteStall(limits.response_timeout)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, unless there are too many; its first request has to come soon."""
        super().connection_made(transport)
        self.client = as_known_by(self.client)
        self._reading.begin(self.loop.time())
        excess = self._limits.excess(self.connections, self.client[0] if self.client else "")
        if excess:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-connections", excess)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request, and note how far it is."""
        if self.transport.is_closing():
            return
        before = self.conn.their_state
        if before is h11.SEND_BODY:
            if self.conn.our_state is not h11.DONE:  # what comes after the answer is of no use to anybody
                self._reading.credit(len(data), self.loop.time())
        elif self._reading.until == NEVER:
            self._reading.begin(self.loop.time())
        super().data_received(data)
        after = self.conn.their_state
        if after is h11.SEND_BODY:
            if before is not after:
                self._reading.begin(self.loop.time())
        elif after is not h11.IDLE:
            self._reading.end()

    def check(self, now: float) -> None:
        """Cut the connection when its client kept us waiting for too long."""
        stuck = self.flow.write_paused or self.transport.is_closing()
        if self._drain.overdue(now, self.transport.get_write_buffer_size(), stuck=stuck):
            self.transport.abort()
        elif self.flow.read_paused:
            self._reading.put_off(now)  # it is we who do not read on
        elif now >= self._reading.until and not self.transport.is_closing():
            self._give_up()

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._drain.note_progress()
        super().resume_writing()

    def shutdown(self) -> None:
        """Close, unless that is under way."""
        if not self.transport.is_closing():
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request that we take; uvicorn calls this for all of them."""
        self._refuse(self._heads.complaint, "invalid-request", self._heads.reason or msg)

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self.transport.close()  # it has asked for nothing
            return
        seconds = self._limits.request_timeout
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", f"the request did not arrive within {seconds:g} s")

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        """Answer with a problem when no answer has begun, and close."""
        self._reading.end()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(self._answer(status, code, detail))
        cycle: Any = self.cycle  # None before the first request
        if cycle is not None:  # its application learns that nobody listens any more
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def _answer(self, status: HTTPStatus, code: str, detail: str) -> bytes:
        body = msgspec.json.encode(problem_document(status, code, detail))
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **headers_of_refusal(tls=self.scheme == "https"),
        }
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "5"
        lines = (
            f"HTTP/1.1 {int(status)} {reason_phrase(status)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        )
        return "\r\n".join((*lines, "", "")).encode() + body
