"""The problem document of RFC 9457, for whoever answers with one: within Falcon, beneath it, and in front of it."""

from http import HTTPStatus
from typing import Any

__all__ = ["MEDIA_TYPE", "problem_document", "problem_type"]

MEDIA_TYPE = "application/problem+json"


def problem_type(code: str) -> str:
    """Return the URI that names the type of a problem."""
    return f"urn:virtumancer:problem:{code}"


def problem_document(status: HTTPStatus, code: str, detail: str) -> dict[str, Any]:
    """Build the members that every document has."""
    return {
        "type": problem_type(code),
        "title": status.phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
    }
