"""Which addresses and URLs nobody on the way can listen to."""

from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = ["is_loopback", "is_private"]


def is_loopback(address: str) -> bool:
    """Say whether only this machine can reach an address."""
    if address == "localhost":
        return True
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def is_private(url: str) -> bool:
    """Say whether nobody on the way can read what is sent to a URL: by TLS, or because there is no way."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        )
    except ValueError:
        return False
