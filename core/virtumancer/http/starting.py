"""What is answered before the application is open: that it lives, and that it is not ready."""

from falcon.asgi import Request, Response, WebSocket

from virtumancer.errors import NotReady, StoreUnavailable
from virtumancer.http.health import alive
from virtumancer.services.readiness import Part

__all__ = ["Starting"]

REASON = "the server starts and waits for its database; its log says what is in the way"


class Starting:
    """Middleware before the gate, which knows nobody until the store was read; lets all pass once it is `over`."""

    def __init__(self) -> None:
        self.over = False

    async def process_request(self, req: Request, resp: Response) -> None:
        """Answer the probes, and everybody else that it is too early."""
        if self.over:
            return
        if req.path == "/livez":
            alive(resp)
            resp.complete = True
            return
        if req.path == "/readyz":
            raise NotReady("not ready, because of: store", parts=(Part("store", False, True, REASON),))
        raise StoreUnavailable(REASON)

    async def process_request_ws(self, req: Request, ws: WebSocket) -> None:
        """Refuse a WebSocket."""
        if not self.over:
            raise StoreUnavailable(REASON)
