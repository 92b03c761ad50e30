"""A TCP port whose connections travel in WebSockets, for clients that know only TCP."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.e2e.consoles.viewers import Viewer


class TCPAdapter:
    """Listens on 127.0.0.1 and opens a viewer for each connection."""

    def __init__(self, open_viewer: Callable[[], Viewer], port: int = 0) -> None:
        self._open_viewer = open_viewer
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                self._run(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, self._open_viewer() as viewer:
            upward = self._run(_carry_up, client, viewer.socket)
            with suppress(ConnectionClosed, OSError):
                for message in viewer.socket:
                    client.sendall(message if isinstance(message, bytes) else message.encode())
            with suppress(OSError):  # the client left first
                client.shutdown(socket.SHUT_RDWR)
            upward.join(10)

    def _run(self, work: Callable[..., None], *given: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=given, name="adapter", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread


def _carry_up(client: socket.socket, websocket: ClientConnection) -> None:
    with suppress(ConnectionClosed, OSError):
        while data := client.recv(65536):
            websocket.send(data)
    websocket.close()
