"""One POST request. It blocks, so it is called in a thread."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from virtumancer.contracts import Secret


class PostFailed(Exception):
    """The other end did not take it; the message holds neither the token nor the answer."""


class _NoRedirects(HTTPRedirectHandler):
    """The token is for the address in the configuration, and for no other that it may point to."""

    def redirect_request(self, *details: Any) -> None:
        """Follow nothing: the answer counts as it is."""


OPENER = build_opener(_NoRedirects)


def post(url: str, token: Secret | None, document: Mapping[str, object], timeout: float) -> None:
    """Post a JSON object. Raises `PostFailed`."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    request = Request(url, json.dumps(document).encode(), headers, method="POST")  # noqa: S310 - checked to be http(s)
    try:
        with OPENER.open(request, timeout=timeout) as answer:
            answer.read(1)
    except HTTPError as error:
        raise PostFailed(f"it answered {error.code}") from None
    except (URLError, http.client.HTTPException, OSError) as error:
        raise PostFailed(str(getattr(error, "reason", error))) from None
