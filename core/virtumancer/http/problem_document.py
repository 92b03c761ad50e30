"""The problem document of RFC 9457, for whoever answers with one: within Falcon, beneath it, and in front of it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

__all__ = ["MEDIA_TYPE", "problem_document", "problem_type", "reason_phrase"]

MEDIA_TYPE = "application/problem+json"
# Python 3.13 names these otherwise than 3.11; what clients read is the same wherever the server runs.
RENAMED: Mapping[int, str] = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}


def reason_phrase(status: HTTPStatus) -> str:
    """Return what a status is called, as a title."""
    return RENAMED.get(status, status.phrase)


def problem_type(code: str) -> str:
    """Return the URI that names the type of a problem."""
    return f"urn:virtumancer:problem:{code}"


def problem_document(status: HTTPStatus, code: str, detail: str) -> dict[str, Any]:
    """Build the members that every document has."""
    return {
        "type": problem_type(code),
        "title": reason_phrase(status),
        "status": int(status),
        "code": code,
        "detail": detail,
    }
