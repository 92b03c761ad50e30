"""The smallest WebSocket client: it costs so little that what is measured is the other end."""

import base64
import os
import socket
import struct
import time


class RawClient:
    """A WebSocket on a blocking socket."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(1)
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise ConnectionError(answer.decode(errors="replace"))

    def send(self, payload: bytes) -> None:
        """Send one short binary message; a mask of zeros leaves it as it is."""
        self._socket.sendall(struct.pack("!BBL", 0x82, 0x80 | len(payload), 0) + payload)

    def echo(self, payload: bytes) -> float:
        """Send a short message and wait for it to come back; returns the seconds that took."""
        began = time.perf_counter()
        self.send(payload)
        while self._frame()[0] != 0x82:
            pass  # a ping
        return time.perf_counter() - began

    def _frame(self) -> bytes:
        """Return one short frame, header included; it usually comes in one piece."""
        frame = self._socket.recv(2)
        while len(frame) < 2 or len(frame) < frame[1] + 2:
            frame += self._socket.recv(max(2, frame[1] + 2 if len(frame) > 1 else 2) - len(frame))
        return frame

    def swallow(self, total: int) -> float:
        """Read at least this many bytes; returns the seconds that took."""
        buffer = bytearray(1 << 20)
        began = time.perf_counter()
        received = 0
        while received < total:
            count = self._socket.recv_into(buffer)
            if not count:
                raise ConnectionError(f"closed after {received} of {total} bytes")
            received += count
        return time.perf_counter() - began

    def close(self) -> None:
        self._socket.close()
