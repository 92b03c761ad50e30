"""Viewers that say only what a test tells them to: any WebSocket of a console, and one that speaks RFB."""

import time
from types import TracebackType
from typing import NamedTuple, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

NO_AUTHENTICATION = 1
RETURN_KEY = 0xFF0D


class Farewell(NamedTuple):
    """What a WebSocket ended with."""

    code: int
    reason: str


class Viewer:
    """An open WebSocket of a console."""

    def __init__(self, url: str, origin: str | None = None, *, max_queue: int | None = 16) -> None:
        """Connect. Raises `websockets.exceptions.InvalidStatus` with the answer when it is refused."""
        connection = connect(
            url,
            origin=Origin(origin) if origin else None,
            subprotocols=[Subprotocol("binary")],
            compression=None,
            proxy=None,
            max_size=None,
            max_queue=max_queue,
            close_timeout=2,
            open_timeout=20,
        )
        self.socket: ClientConnection = connection.__enter__()  # without `with` it is deprecated
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    def read(self, size: int, timeout: float = 10.0) -> bytes:
        """Exactly this many bytes, wherever messages end."""
        while len(self._unread) < size:
            self._unread += self._message(timeout)
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def read_until(self, words: bytes, timeout: float = 15.0) -> bytes:
        """Everything up to and with these words."""
        deadline = time.monotonic() + timeout
        while words not in self._unread:
            if time.monotonic() > deadline:
                raise AssertionError(f"{words!r} did not come; this did: {self._unread[-1000:]!r}")
            try:
                self._unread += self._message(1)
            except TimeoutError:
                continue
        end = self._unread.index(words) + len(words)
        data, self._unread = self._unread[:end], self._unread[end:]
        return data

    def drain(self, duration: float) -> bytes:
        """Everything that comes within this time."""
        deadline = time.monotonic() + duration
        while (rest := deadline - time.monotonic()) > 0:
            try:
                self._unread += self._message(rest)
            except TimeoutError:
                break
        data, self._unread = self._unread, b""
        return data

    def farewell(self, timeout: float = 10.0) -> Farewell:
        """Read until the other end closes; return with what."""
        deadline = time.monotonic() + timeout
        while (rest := deadline - time.monotonic()) > 0:
            try:
                self.socket.recv(rest)
            except TimeoutError:
                break
            except ConnectionClosed as closed:
                if closed.rcvd is None:
                    raise AssertionError("the connection ended without a close frame") from closed
                return Farewell(closed.rcvd.code, closed.rcvd.reason)
        raise AssertionError(f"it was not closed within {timeout:g} s")

    def _message(self, timeout: float) -> bytes:
        message = self.socket.recv(timeout)
        assert isinstance(message, bytes), f"a text frame came: {message!r}"
        return message


class RfbViewer(Viewer):
    """A VNC viewer; `begin` has to come first."""

    def begin(self) -> Self:
        """Shake hands as far as the server's description of its screen."""
        assert self.read(12) == b"RFB 003.008\n"
        self.send(b"RFB 003.008\n")
        self.offered = set(self.read(self.read(1)[0]))
        assert NO_AUTHENTICATION in self.offered, f"it asks for authentication: {self.offered}"
        self.send(bytes([NO_AUTHENTICATION]))
        assert self.read(4) == bytes(4), "security result"
        self.send(b"\x01")  # shared
        screen = self.read(24)
        self.width, self.height = int.from_bytes(screen[:2]), int.from_bytes(screen[2:4])
        self.name = self.read(int.from_bytes(screen[20:24])).decode()
        return self

    def request_update(self, *, incremental: bool = False, times: int = 1) -> None:
        """Ask for the whole screen."""
        area = self.width.to_bytes(2) + self.height.to_bytes(2)
        self.send((b"\x03" + bytes([incremental]) + bytes(4) + area) * times)

    def type(self, text: str) -> None:
        """Press and release the keys of lower-case text."""
        for character in text:
            keysym = RETURN_KEY if character == "\n" else ord(character)
            for down in (b"\x01", b"\x00"):
                self.send(b"\x04" + down + bytes(2) + keysym.to_bytes(4))
                time.sleep(0.01)  # a guest's keyboard has a short memory
