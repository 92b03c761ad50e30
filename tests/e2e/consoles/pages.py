"""A web server of its own for the pages with the clients: the origin that a separate UI would have."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from tests.e2e.consoles.npm import WEB
from tests.lab import free_port


class PageServer:
    """Serves the pages of `web/`, and the npm packages below `/modules/`."""

    def __init__(self, node_modules: Path) -> None:
        self.origin = f"http://127.0.0.1:{free_port()}"
        port = int(self.origin.rsplit(":", 1)[1])
        self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Files, node_modules))
        self._thread = threading.Thread(target=self._server.serve_forever, name="pages")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, name: str, **parameters: str) -> str:
        """The URL of a page, told its parameters."""
        return f"{self.origin}/{name}.html?{urlencode(parameters)}"


class _Files(SimpleHTTPRequestHandler):
    def __init__(self, node_modules: Path, *rest: object) -> None:
        self._node_modules = node_modules
        super().__init__(*rest, directory=str(WEB))  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        if path.startswith("/modules/"):
            self.directory = str(self._node_modules)
            return super().translate_path(path.removeprefix("/modules"))
        self.directory = str(WEB)
        return super().translate_path(path)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: what a browser did not get, its page does not do."""
