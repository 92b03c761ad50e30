"""What actions answer, held against what they declare."""

from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from virtumancer.plugins.calls.blame import ReturnCheck

__all__ = ["answer_check"]

LARGEST = 4 * 2**20
"""Bytes of an answer as JSON: it is stored with its operation."""


def answer_check(declared: type[Struct] | None) -> ReturnCheck | None:
    """Return the check of an answer; None for an action that declares none: whatever it returns is ignored."""
    return None if declared is None else _check(declared)


@cache
def _check(declared: type[Struct]) -> ReturnCheck:
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(declared)

    def fits(answer: Any) -> bool:
        if not isinstance(answer, declared):
            return False
        try:
            encoded = msgspec.json.encode(answer)
            if len(encoded) <= LARGEST:
                decoder.decode(encoded)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            # Said as the plugin's failure: it names the field.
            raise ValueError(f"its answer is no {declared.__name__}: {error}") from error
        if len(encoded) > LARGEST:
            raise ValueError(f"its answer has {len(encoded)} bytes as JSON, {LARGEST} are the most")
        return True

    return ReturnCheck("run", f"a {declared.__name__}", fits)
