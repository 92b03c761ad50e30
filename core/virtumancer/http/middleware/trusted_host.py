"""Who may talk to us from a browser: the Host header against DNS rebinding, Origin against other people's pages."""

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from falcon.asgi import Request, WebSocket

from virtumancer.errors import Forbidden, MisdirectedRequest

__all__ = ["TrustedHostAndOrigin"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Names and IPv4 addresses, IPv6 addresses in brackets, and a port: no user, path or anything else of a URI.
HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:/?#\[\]@\\\x00-\x20\x7f]*))(?::[0-9]*)?")
PROBES = frozenset({"/livez", "/readyz"})


class TrustedHostAndOrigin:
    """Middleware that refuses foreign Host headers, and foreign origins on sockets and unsafe methods.

    A request without Origin comes from no browser page and passes. What probes ask may also be asked by address, or
    without a name as HTTP/1.0 has it: a foreign page reaches us by its own name only.
    """

    def __init__(self, bind: str, allowed_hosts: Collection[str], allowed_origins: Collection[str]) -> None:
        self._names = {"localhost", bind.lower(), *(name.lower() for name in allowed_hosts)}
        self._origins = {origin.rstrip("/").lower() for origin in allowed_origins}

    async def process_request(self, req: Request, resp: Any) -> None:
        """Check a plain request."""
        self._check_host(req)
        if req.method not in SAFE_METHODS:
            self._check_origin(req)

    async def process_request_ws(self, req: Request, ws: WebSocket) -> None:
        """Check a WebSocket before it is accepted."""
        self._check_host(req)
        self._check_origin(req)

    def _check_host(self, req: Request) -> None:
        header = req.get_header("Host")
        name = _host_name(header or "")
        if name in self._names or _is_loopback(name):
            return
        if req.path in PROBES and (header is None or _address(name)):
            return
        raise MisdirectedRequest(
            f"this server is not {name[:100]!r}; if that is a name of it, add it to server.allowed_hosts"
        )

    def _check_origin(self, req: Request) -> None:
        origin = (req.get_header("Origin") or "").lower()
        if origin:
            if origin not in self._origins and not _same_origin(origin, req):
                raise Forbidden(
                    f"a page of {origin[:100]!r} may not do this; if it should, add it to server.allowed_origins"
                )
        elif req.get_header("Sec-Fetch-Site") in {"cross-site", "same-site"}:
            raise Forbidden("a page of another site may not do this")


def _same_origin(origin: str, req: Request) -> bool:
    parts = urlsplit(origin)
    scheme = {"ws": "http", "wss": "https"}.get(req.scheme, req.scheme)
    return parts.scheme == scheme and parts.netloc == (req.get_header("Host") or "").lower()


@lru_cache(maxsize=64)
def _host_name(header: str) -> str:
    """Return the name in a Host header, or the whole header when it is not of the form NAME[:PORT]."""
    found = HOST.fullmatch(header)
    return (found["address"] or found["name"]).lower() if found else header


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return address is not None and address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
