"""In which form an answer is given, where there are several."""

from falcon import mediatypes
from falcon.asgi import Request, Response

__all__ = ["asks_for"]

JSON = "application/json"


def asks_for(req: Request, resp: Response, media_type: str) -> bool:
    """Say whether the client asks for this form by its name and likes JSON no better.

    Everybody else gets JSON: who takes anything does not ask for a stream that may never end.
    """
    resp.append_header("Vary", "Accept")
    accept = req.accept.lower()
    named = {part.partition(";")[0].strip() for part in accept.split(",")}
    if media_type not in named:
        return False
    try:
        other, json = mediatypes.quality(media_type, accept), mediatypes.quality(JSON, accept)
    except ValueError:
        return False
    return other > json or (other == json > 0 and JSON not in named)
