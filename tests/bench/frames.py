"""The own frames that a request passes: calls of functions of this program and its plugins, from the server's call on.

Counted on libvirt's test driver, with a token, in the thread of the event loop and in the tasks of the request: its
own, and those that were begun in it. A coroutine that waits and goes on is one frame. A comprehension is none, as with
Python 3.12. `python -m tests.bench.frames all` lists the functions too.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Self

from tests.bench.figures import Figure
from virtumancer.app import create_app
from virtumancer.config import load_config

LIMITS = {"stats": 90, "vms": 100, "start": 220}
"""How many frames each request may pass."""
HOST = "/api/v1/hosts/a"
VM = f"{HOST}/vms/test"
REQUESTS = {"stats": ("GET", f"{VM}/stats"), "vms": ("GET", f"{HOST}/vms"), "start": ("POST", f"{VM}/start")}
STOP = ("POST", f"{VM}/forceoff")
TRACED = ContextVar("traced", default=False)
INLINED = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})
OURS = tuple(f"/{root}/virtumancer" for root in ("core", "plugins"))


class Tracer:
    """Notes the own frames of one request at a time: of those tasks that begin in its context."""

    def __init__(self) -> None:
        self._frames: dict[int, FrameType] = {}

    def __enter__(self) -> Self:
        TRACED.set(True)
        self._before = sys.getprofile()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)
        TRACED.set(False)

    def codes(self) -> list[CodeType]:
        """Return the code of each frame."""
        return [frame.f_code for frame in self._frames.values()]

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event == "call" and TRACED.get() and code.co_name not in INLINED and any(map(code.co_filename.count, OURS)):
            # One that goes on is called again; while it is kept, no other one can have its id.
            self._frames.setdefault(id(frame), frame)


async def ask(app: Any, method: str, path: str, secret: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send one request as a server hands it over; returns status and body."""
    given = {"host": "localhost", "authorization": f"Bearer {secret}", "content-length": str(len(body))}
    if body:
        given["content-type"] = "application/json"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    status, answer = 0, b""

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        nonlocal status, answer
        status = message.get("status", status)
        answer += message.get("body", b"")

    await app(scope, receive, send)
    return status, answer


@asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[tuple[Any, str]]:
    """Open the application with a host of the test driver; yields it and the administrator's token."""
    settings = {
        "database.url": f"sqlite://{folder}/virtumancer.db",
        # Nothing of its own accord while requests are traced.
        "sessions.stats_interval": 3600.0,
        "sessions.reconcile_interval": 3600.0,
    }
    config = load_config(None, {"HOME": str(folder)}, settings)
    async with create_app(config) as app:
        secret = await asyncio.to_thread((folder / "virtumancer.admin-token").read_text)
        secret = secret.strip()
        status, answer = await ask(app, "POST", "/api/v1/hosts", secret, b'{"id": "a", "uri": "test:///default"}')
        assert status == 201, answer
        yield app, secret


async def counted(folder: Path) -> Mapping[str, list[CodeType]]:
    """Return the functions that each request passes when nothing is done for the first time.

    Of several requests the one with the fewest: on a busy machine there is more to say about one.
    """
    found: dict[str, list[CodeType]] = {}
    async with served(folder) as (app, secret):
        for name, request in REQUESTS.items():
            for _ in range(3):
                if name == "start":
                    await ask(app, *STOP, secret)
                    await ask(app, *REQUESTS["vms"], secret)
                with Tracer() as tracer:
                    status, answer = await ask(app, *request, secret)
                assert status < 300, answer
                codes = tracer.codes()
                found[name] = min(found.get(name, codes), codes, key=len)
    return found


def measure(folder: Path) -> Iterator[Figure]:
    """Count the frames."""
    found = asyncio.run(counted(folder))
    for name, limit in LIMITS.items():
        yield Figure(f"own frames of a request: {name}", len(found[name]), "frames", limit)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="vb") as folder:
        found = asyncio.run(counted(Path(folder)))
    for name, codes in found.items():
        sys.stdout.write(f"{name}: {len(codes)}\n")
        if len(sys.argv) > 1:
            for code, times in Counter(codes).items():
                sys.stdout.write(f"  {times:3} {Path(code.co_filename).stem}.{code.co_qualname}\n")


if __name__ == "__main__":
    main()
