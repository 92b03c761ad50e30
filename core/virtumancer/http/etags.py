"""Answers that a client has already: `ETag`, `If-None-Match` and 304."""

import falcon
from falcon.asgi import Request, Response

__all__ = ["is_known"]


def is_known(req: Request, resp: Response, etag: str) -> bool:
    """Tag the answer; when the client has it already, make it a 304 and say so."""
    resp.set_header("ETag", etag)
    wanted = etag.strip('"')
    if not any(tag == "*" or str(tag).strip('"') == wanted for tag in req.if_none_match or ()):
        return False
    resp.status = falcon.HTTP_304
    return True
