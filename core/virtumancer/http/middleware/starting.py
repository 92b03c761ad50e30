"""What is answered before the application is open: that it lives, and that it is not ready."""

from falcon.asgi import Request, Response, WebSocket
from msgspec import Struct

from virtumancer.errors import NotReady, StoreUnavailable
from virtumancer.http.requests import send_json
from virtumancer.services.readiness import Part

__all__ = ["Alive", "Starting", "send_alive"]

REASON = "the server starts and waits for its database; its log says what is in the way"


class Alive(Struct, frozen=True):
    """That the program runs and its event loop has its turn."""

    ok: bool


def send_alive(resp: Response) -> None:
    """Answer that the program runs."""
    send_json(resp, Alive(True))


class Starting:
    """Middleware before the gate, which knows nobody until the store was read; lets all pass once it is `over`."""

    def __init__(self) -> None:
        self.over = False

    async def process_request(self, req: Request, resp: Response) -> None:
        """Answer the probes, and everybody else that it is too early."""
        if self.over:
            return
        if req.path == "/livez":
            send_alive(resp)
            resp.complete = True
            return
        if req.path == "/readyz":
            raise NotReady("not ready, because of: store", parts=(Part("store", False, True, REASON),))
        raise StoreUnavailable(REASON)

    async def process_request_ws(self, req: Request, ws: WebSocket) -> None:
        """Refuse a WebSocket."""
        if not self.over:
            raise StoreUnavailable(REASON)
