"""The headers that many requests may have."""

from typing import Any

__all__ = ["REQUEST_HEADERS"]

REQUEST_HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Chosen by the client, new for each request: sent again with the same key, it is not done again "
        "but answered as it was first.",
        "schema": {"type": "string", "pattern": '^"[!#-\\[\\]-~]{1,255}"$|^[!#-\\[\\]-~]{1,255}$'},
        "example": '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "The `ETag` of the object as the client knows it: if it is another one by now, nothing is done.",
        "schema": {"type": "string"},
        "example": '"5f1d7c441f4c4b6f9d0e3f1f4f0a2b11"',
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The `ETag` of the answer that the client has: if it is the same by now, there is none but 304.",
        "schema": {"type": "string"},
        "example": '"5f1d7c441f4c4b6f9d0e3f1f4f0a2b11"',
    },
}
