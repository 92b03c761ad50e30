"""Where an LXD is: what a URI `lxd://HOST:PORT` or `lxd:///SOCKET` says."""

from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from virtumancer.errors import InvalidValue

__all__ = ["Address", "parse"]

PORT = 8443
SOCKET = "/var/lib/lxd/unix.socket"
FORMS = "write lxd://HOST[:PORT] for LXD over HTTPS or lxd:///PATH/TO/unix.socket, each with ?project=NAME if needed"


class Address(Struct, frozen=True):
    """A unix socket, or a host and port; and the project that is looked at."""

    socket: str = ""
    host: str = ""
    port: int = PORT
    project: str = "default"

    @property
    def known_as(self) -> str:
        """Name the server as known_hosts names one: whose certificate is pinned."""
        return f"[{self.host}]:{self.port}"


def parse(uri: str) -> Address:
    """Read a URI. Raises `InvalidValue`."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port or PORT
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise InvalidValue(FORMS, field="uri") from None
    project = query.pop("project", "default")
    path = unquote(parts.path)
    if parts.scheme != "lxd" or query or parts.fragment or parts.username or not project:
        raise InvalidValue(FORMS, field="uri")
    if host:
        if path not in {"", "/"}:
            raise InvalidValue(f"an LXD over HTTPS has no path: {FORMS}", field="uri")
        return Address(host=host, port=port, project=project)
    if parts.netloc:
        raise InvalidValue(FORMS, field="uri")
    return Address(socket=SOCKET if path in {"", "/"} else path, project=project)
