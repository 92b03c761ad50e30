"""One table against one Struct: all its mistakes at once, each with the name of the key and the cure."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import FieldInfo

from virtumancer.config.problems import did_you_mean
from virtumancer.config.sources.values import Raw, WrongValue, convert

__all__ = ["fields_of", "read_struct"]

S = TypeVar("S", bound=msgspec.Struct)
Complaint = Callable[[str, str], None]


def fields_of(struct: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """Return the fields by the names that they have in a file."""
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def read_struct(struct: type[S], table: Mapping[str, Any], complain: Complaint) -> S | None:
    """Return the table as this Struct, or None after `complain(key, reason)` was called for everything wrong in it."""
    fields = fields_of(struct)
    values: dict[str, object] = {}
    wrong = False
    for key, value in table.items():
        try:
            if key not in fields:
                raise WrongValue(f"is not a known key{did_you_mean(key, fields)}")  # noqa: TRY301 - one way to complain
            values[fields[key].name] = convert(Raw(value, ""), fields[key].type)
        except WrongValue as error:
            wrong = True
            complain(key, str(error))
    for key, field in fields.items():
        if field.required and key not in table:
            wrong = True
            complain(key, "is missing")
    if wrong:
        return None
    try:
        return struct(**values)
    except (TypeError, ValueError) as error:  # its own __post_init__ says that the values do not go together
        complain("", str(error))
        return None
