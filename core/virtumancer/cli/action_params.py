"""The parameters of an action, from the words of the command line and the JSON Schema that the server has for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from virtumancer.config import did_you_mean
from virtumancer.contracts import ActionOffer
from virtumancer.errors import UsageError

__all__ = ["params_of", "takes"]


def params_of(action: str, words: Mapping[str, str], offers: Sequence[ActionOffer]) -> dict[str, Any]:
    """Return the parameters as the server wants them. Raises `UsageError` naming what is wrong."""
    offer = next((offer for offer in offers if offer.name == action), None)
    if offer is None:  # it is the server who says why not
        return dict(words)
    schema, known = _resolved(offer.params, offer.params), takes(offer)
    for name in words:
        if _key(name, known) not in known:
            some = f"; it takes: {', '.join(known)}" if known else "; it takes none"
            raise UsageError(f"the action {action} has no parameter {name!r}{did_you_mean(name, known)}{some}")
    for name in schema.get("required", ()):
        if name not in {_key(word, known) for word in words}:
            raise UsageError(f"the action {action} needs the parameter --{name}")
    return {_key(name, known): _value(name, text, known[_key(name, known)]) for name, text in words.items()}


def takes(offer: ActionOffer) -> dict[str, Mapping[str, Any]]:
    """Return what an action takes: the schema of each parameter, by name."""
    properties: Mapping[str, Mapping[str, Any]] = _resolved(offer.params, offer.params).get("properties", {})
    return {name: _resolved(schema, offer.params) for name, schema in properties.items() if name != "if_already"}


def _key(word: str, known: Mapping[str, Any]) -> str:
    """Options are written with hyphens, keys often with underscores."""
    return word if word in known else word.replace("-", "_")


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step, {})
    return msgspec.convert(found, dict[str, Any])


def _value(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    """Read a word: a text as it is, where one is wanted, anything else as JSON."""
    kinds = _kinds(schema)
    if kinds <= {"string", "null"} and "enum" not in schema:
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = text
    if isinstance(value, str) and kinds and "string" not in kinds:
        raise UsageError(f"--{name} has to be {' or '.join(sorted(kinds))}, and is {text!r}")
    return value if not (kinds == {"string"} and not isinstance(value, str)) else text


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """Say of which JSON types a value may be; empty for any."""
    if "anyOf" in schema:
        return {kind for part in schema["anyOf"] for kind in _kinds(part)}
    kind = schema.get("type", ())
    return {kind} if isinstance(kind, str) else set(kind)
