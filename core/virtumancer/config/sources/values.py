"""One raw value against one type: the converted value, or a sentence that says what the type wants."""

import json
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from virtumancer.config.sources.secrets import SecretMissing, read_secret
from virtumancer.contracts import Secret
from virtumancer.masking import mask_url

__all__ = ["Raw", "WrongValue", "convert", "expected", "unwrap"]

COMPOSED = "a table"


class Raw(Struct, frozen=True):
    """A value as given: `origin` says where, `text` that it came as text and is still to be read."""

    value: object
    origin: str
    text: bool = False


class WrongValue(Exception):
    """A value does not fit its type; the message says what would."""


def convert(raw: Raw, kind: Any) -> object:
    """Return the value as its type wants it, or raise `WrongValue`."""
    value = _read_text(raw.value, kind) if raw.text and isinstance(raw.value, str) else raw.value
    try:
        return msgspec.convert(value, kind, strict=not raw.text, dec_hook=_custom)
    except SecretMissing as error:
        raise WrongValue(str(error)) from error
    except msgspec.ValidationError as error:
        wanted = expected(kind)
        if wanted == COMPOSED and isinstance(raw.value, dict | list):
            raise WrongValue(f"does not fit: {_place(str(error))}") from error
        raise WrongValue(f"must be {wanted}, not {_shown(raw.value)}") from error


def _custom(kind: Any, value: Any) -> Any:
    if kind is Secret:
        return read_secret(value)
    raise NotImplementedError(f"a setting cannot be of type {kind!r}")


def _place(message: str) -> str:
    """Take what the library says about the inside of a value, without its notation."""
    return message.replace("`$", "`").replace("`.", "`").replace("`", '"')


def _read_text(text: str, kind: Any) -> object:
    """Turn text of the environment or a flag into what `convert` expects: lists are comma separated."""
    base, _ = unwrap(kind)
    if get_origin(base) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if text == "" and NoneType in get_args(base):
        return None
    return text


def _shown(value: object) -> str:
    """Show a wrong value: short, and without a password."""
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, str):
        text = mask_url(value)
        return json.dumps(text if len(text) <= 60 else text[:59] + "…", ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in cast("Sequence[object]", value)) + "]"
    return "a table" if isinstance(value, dict) else "a date or time"


def unwrap(kind: Any) -> tuple[Any, tuple[Meta, ...]]:
    """Split an annotated type into the plain type and its msgspec metadata."""
    if get_origin(kind) is not Annotated:
        return kind, ()
    base, *extras = get_args(kind)
    inner, metas = unwrap(base)
    return inner, metas + tuple(meta for meta in extras if isinstance(meta, Meta))


def expected(kind: Any) -> str:
    """Describe what a type accepts, as in `a whole number from 1 to 65535`."""
    base, metas = unwrap(kind)
    for meta in metas:
        if meta.extra and "rule" in meta.extra:
            return str(meta.extra["rule"])
    if get_origin(base) is Literal:
        return " or ".join(json.dumps(choice) for choice in get_args(base))
    if get_origin(base) in (Union, UnionType):
        return " or ".join(expected(part) for part in get_args(base) if part is not NoneType)
    if get_origin(base) is tuple:
        return "a list" if get_args(base)[0] is str else f"a list, each {expected(get_args(base)[0])}"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(base, COMPOSED) + "".join(_limits(meta) for meta in metas)


def _limits(meta: Meta) -> str:
    """Describe the numeric limits of a type."""
    unit = f" {meta.extra['unit']}" if meta.extra and "unit" in meta.extra else ""
    if meta.gt is not None:
        return f" of{unit} greater than {meta.gt}, at most {meta.le}"
    if meta.ge is not None:
        return f" from {meta.ge} to {meta.le}{unit}"
    return " that is not empty" if meta.min_length else ""
