"""Our own errors as plugins raise them: what they say goes into answers, events, logs and the store."""

import math
import re
from typing import Any, cast

import msgspec

from virtumancer.errors import VirtumancerError
from virtumancer.masking import mask_data, mask_text

__all__ = ["LONGEST_MESSAGE", "NotOurs", "made_fit", "plain_text"]

LONGEST_MESSAGE = 4000
"""Characters of what a plugin may say in one error."""
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LONGEST_CODE = 63
# What else some of our errors have, and what it has to be.
ATTRIBUTES = {"field": str, "close_code": int, "retry_after": int | float}


class NotOurs(ValueError):
    """An error has a class of ours and is none that could be told to anybody; the text says why."""


def plain_text(text: str) -> str:
    """Return a text of a plugin as it can be sent and stored: without credentials, not endless, and valid Unicode."""
    masked = mask_text(text)
    if len(masked) > LONGEST_MESSAGE:
        masked = masked[:LONGEST_MESSAGE] + " …"
    return masked.encode("utf-8", "replace").decode()


def made_fit(error: VirtumancerError) -> VirtumancerError:
    """Clean what an error says, and return it. Raises `NotOurs`, or whatever its own code raises."""
    message, code, extra = _said(error)
    if not isinstance(message, str):
        raise NotOurs(f"its message is {type(message).__name__}, not a text")
    if not isinstance(code, str) or not CODE.fullmatch(code) or len(code) > LONGEST_CODE:
        raise NotOurs("its code is not made of a-z, 0-9 and hyphens")
    for name, kind in ATTRIBUTES.items():
        value: Any = getattr(error, name, None)
        if value is not None and (not isinstance(value, kind) or not _is_sound(value)):
            raise NotOurs(f"its {name} is {type(value).__name__}, or no sound one")
    cleaned = plain_text(message)
    if cleaned != message:
        error.message, error.args = cleaned, (cleaned,)
    if extra:
        error.extra = _sendable(extra)
    return error


def _said(error: Any) -> tuple[Any, Any, Any]:
    """Return what it has, of whatever kind: a plugin may have made it in its own way."""
    return error.message, error.code, error.extra


def _is_sound(value: object) -> bool:
    if isinstance(value, str):
        return plain_text(value) == value
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _sendable(extra: dict[str, Any]) -> dict[str, Any]:
    """Keep what JSON can carry, without credentials."""
    found: dict[str, Any] = {}
    for name, value in extra.items():
        try:
            masked = mask_data(value, name)
            found[plain_text(name)] = msgspec.json.decode(msgspec.json.encode(_valid(masked)))
        except Exception as error:
            raise NotOurs(f"its extra {name!a:.40} cannot be sent as JSON: {type(error).__name__}") from error
    return found


def _valid(value: Any) -> Any:
    """Copy plain data with all its texts as they can be sent; `mask_data` has copied lists and dictionaries."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return {plain_text(str(name)): _valid(item) for name, item in pairs}
    return [_valid(item) for item in cast("list[object]", value)] if isinstance(value, list) else value
