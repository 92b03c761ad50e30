"""Listening sockets that leave a caller without an answer."""

import errno
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager

from .errors import LabError


def listen(port: int = 0, backlog: int = 128) -> socket.socket:
    """A listening socket on 127.0.0.1 that can take its port again right after another one had it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(backlog)
    return listener


class BlackHole:
    """A port on which connecting takes for ever, as on a host behind a firewall that drops."""

    def __init__(self, port: int = 0) -> None:
        self._listener = listen(port, backlog=0)
        self.port: int = self._listener.getsockname()[1]
        self._fillers: list[socket.socket] = []
        self._fill()

    def close(self) -> None:
        for one in (*self._fillers, self._listener):
            one.close()

    def _fill(self) -> None:
        """Fill the queue of connections nobody accepts; the kernel drops what comes after."""
        for _ in range(16):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)
            time.sleep(0.01)
            if filler.connect_ex(("127.0.0.1", self.port)) not in (0, errno.EISCONN):  # the queue is full
                return
        raise LabError(f"Port {self.port} goes on accepting connections with a full queue.")


@contextmanager
def silent_listener(*, connects: bool = False) -> Generator[int]:
    """The port of a host that never answers: not even the connect, or, with `connects`, all that comes after it."""
    if connects:
        with listen() as listener:
            yield listener.getsockname()[1]
        return
    hole = BlackHole()
    try:
        yield hole.port
    finally:
        hole.close()
