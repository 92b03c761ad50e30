"""Where the API begins: the server mounts it there, and clients ask there."""

__all__ = ["API_BASE"]

API_BASE = "/api/v1"
