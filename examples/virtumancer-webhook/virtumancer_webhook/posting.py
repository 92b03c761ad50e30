"""One POST request. It blocks, so it is called in a thread."""

import http.client
import json
from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from virtumancer.contracts import Secret


class PostFailed(Exception):
    """The other end did not take it; the message holds neither the token nor the answer."""


def post(url: str, token: Secret | None, document: Mapping[str, object], timeout: float) -> None:
    """Post a JSON object. Raises `PostFailed`."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    request = Request(url, json.dumps(document).encode(), headers, method="POST")  # noqa: S310 - checked to be http(s)
    try:
        with urlopen(request, timeout=timeout) as answer:  # noqa: S310 - as above
            answer.read(1)
    except HTTPError as error:
        raise PostFailed(f"it answered {error.code}") from None
    except (URLError, http.client.HTTPException, OSError) as error:
        raise PostFailed(str(getattr(error, "reason", error))) from None
