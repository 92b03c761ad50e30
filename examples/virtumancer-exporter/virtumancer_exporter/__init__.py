"""The server's own figures at `/metrics`, as Prometheus reads them."""

from virtumancer import hookimpl
from virtumancer.contracts import Mount, Route, RouteRequest
from virtumancer_exporter.text import MEDIA_TYPE, text_of

REQUIRES_CONTRACTS = ">=1.3,<2"


async def metrics(request: RouteRequest) -> bytes:
    """Answer with all figures as they are now."""
    return text_of(request.figures()).encode()


@hookimpl
def virtumancer_mounts() -> list[Mount]:
    """Ask for the place where scrapers look."""
    route = Route(
        method="GET",
        path="",
        summary="Figures of the server, for Prometheus",
        handle=metrics,
        answer=bytes,
        media=MEDIA_TYPE,
        permission="metrics",
    )
    return [Mount(name="metrics", path="/metrics", content=route)]
