"""Who a request comes from when a trusted proxy passes it on, and a warning when the proxy does not say."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import structlog
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from virtumancer.http.api_paths import API

__all__ = ["ForwardedClient", "as_known_by"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

Scope = MutableMapping[str, Any]
CLIENT = b"x-forwarded-for"
# What shows that somebody passes the request on; a program of the proxy's own machine sends none of them.
PASSED_ON = frozenset({b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip", b"forwarded", b"via"})
# Proxies ask these for themselves.
PROBES = frozenset({"/livez", "/readyz", str(API / "health")})


def as_known_by(client: tuple[str, int] | None) -> tuple[str, int] | None:
    """Return a client by the address that people know: a socket for IPv4 and IPv6 shows 192.0.2.1 as ::ffff:192.0.2.1.

    Configurations name the first, and so would not mean this client.
    """
    if client is None or not client[0].startswith("::ffff:"):
        return client
    mapped = IPv6Address(client[0]).ipv4_mapped
    return (str(mapped), client[1]) if mapped else client


class ForwardedClient:
    """An ASGI application that puts the client a trusted proxy names in the place of the proxy.

    When one names none, everybody behind it counts as one address, and a client may be able to name a false one: this
    is logged once.
    """

    def __init__(self, application: Any, trusted: Iterable[str], networks: Iterable[IPv4Network | IPv6Network]) -> None:
        self._application: Callable[[Scope, Any, Any], Awaitable[None]] = ProxyHeadersMiddleware(
            application, trusted_hosts=list(trusted)
        )  # type: ignore[assignment]
        self._networks = tuple(networks)
        self._warned = False

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one ASGI connection."""
        if not self._warned and self._names_no_client(scope):
            self._warned = True
            log.warning(
                "a trusted proxy does not say who its clients are: it has to set X-Forwarded-For; until it does, they "
                "are slowed down together, and each can give a false address",
                proxy=scope["client"][0],
            )
        await self._application(scope, receive, send)

    def _names_no_client(self, scope: Scope) -> bool:
        if not scope.get("client") or scope["path"] in PROBES:
            return False
        try:
            address = ip_address(scope["client"][0])
        except ValueError:
            return False
        if not any(address in network for network in self._networks):
            return False
        names = {name for name, _ in scope["headers"]}
        return CLIENT not in names and (bool(names & PASSED_ON) or not address.is_loopback)
