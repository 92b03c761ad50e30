"""What the claims say of a person: the name, and the groups."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["groups_of", "name_of"]

LONGEST = 200
MOST = 1000


def name_of(claims: Mapping[str, Any], path: str) -> str:
    """Return the name as it may stand in a log; empty when there is none."""
    found = _at(claims, path)
    if not isinstance(found, str):
        return ""
    return "".join(character for character in found if character.isprintable()).strip()[:LONGEST]


def groups_of(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Return the groups; providers give one alone as a plain text. What is no text is none."""
    found = _at(claims, path)
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        return ()
    groups = cast("Sequence[object]", found)[:MOST]
    return tuple(group for group in groups if isinstance(group, str) and len(group) <= LONGEST)


def _at(claims: Mapping[str, Any], path: str) -> object:
    """Return the claim of this name, which may hold dots itself, or what its parts lead to."""
    if path in claims:
        return claims[path]
    found: object = claims
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = cast("Mapping[str, object]", found).get(part)
    return found
