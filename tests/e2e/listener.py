"""A client of `/ws` that can wait for a message, and for silence."""

import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

REFRESH = '{"type": "refresh"}'


class Listener:
    """Keeps every frame that it has taken in `frames`, as text."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.frames: list[str] = []

    def __enter__(self) -> Self:
        connection = connect(self._url, compression=None, proxy=None, open_timeout=10, close_timeout=2)
        self._socket = connection.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.__exit__(kind, error, trace)

    def say(self, kind: str, payload: Mapping[str, str]) -> None:
        """Send a message of the later client's dialect."""
        self._socket.send(json.dumps({"type": kind, "payload": payload}))

    def take(self, timeout: float) -> str | None:
        """The next frame, or None when none comes in time."""
        try:
            frame = self._socket.recv(timeout)
        except TimeoutError:
            return None
        assert isinstance(frame, str)
        self.frames.append(frame)
        return frame

    def wait_for(self, kind: str, timeout: float = 10.0) -> dict[str, Any]:
        """The next message of a type, passing over others."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            frame = self.take(left)
            if frame is not None and json.loads(frame)["type"] == kind:
                message: dict[str, Any] = json.loads(frame)
                return message
        raise AssertionError(f"no {kind!r} within {timeout:g} s; the last frames: {self.frames[-5:]}")

    def wait_for_close(self, timeout: float = 10.0) -> int:
        """The code that the server closes with."""
        deadline = time.monotonic() + timeout
        try:
            while time.monotonic() < deadline:
                self.take(max(0.0, deadline - time.monotonic()))
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                raise AssertionError("it broke off instead of closing") from closed
            return closed.rcvd.code
        raise AssertionError(f"not closed within {timeout:g} s")

    def wait_for_silence(self, seconds: float = 0.6, timeout: float = 20.0) -> None:
        """Take what comes until nothing has come for a while: the changes made before are all told."""
        deadline = time.monotonic() + timeout
        while self.take(seconds) is not None:
            if time.monotonic() > deadline:
                raise AssertionError(f"it talks all the time: {self.frames[-5:]}")
