"""The table `[connections]`: how many clients there may be, and how long each may take."""

from typing import Annotated

from msgspec import Meta, Struct

from virtumancer.config.tables.units import Seconds

__all__ = ["ConnectionsConfig"]


class ConnectionsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many connections clients may have, and how long each may keep the server waiting."""

    max_total: Annotated[int, Meta(ge=1, le=1000000, description="Connections of clients at once.")] = 4096
    max_per_address: Annotated[
        int,
        Meta(
            ge=1,
            description="Connections from one address at once; those from this machine and from `trusted_proxies` are "
            "not counted by address.",
        ),
    ] = 512
    tls_timeout: Annotated[Seconds, Meta(description="How long the TLS handshake of a client may take.")] = 10.0
    request_timeout: Annotated[
        Seconds,
        Meta(
            description="How long the head of a request may take to arrive, and the longest pause in its body: "
            "each 500 bytes put the end off by a second, up to this time."
        ),
    ] = 20.0
    response_timeout: Annotated[
        Seconds, Meta(description="How long a client may leave an answer unread, or a message of a WebSocket.")
    ] = 60.0
    idle_timeout: Annotated[Seconds, Meta(description="How long a connection is kept open for the next request.")] = (
        75.0
    )
