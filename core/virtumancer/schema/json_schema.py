"""JSON Schemas (2020-12) of Structs, with what their source says about each field."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, cast, get_origin

import msgspec
from msgspec import Struct
from msgspec import inspect as types

from virtumancer.schema.attribute_docs import notes_of

__all__ = ["Schemas", "schema_of", "schemas_of"]


class Schemas(Struct, frozen=True):
    """The schemas of some types, in the order asked for, and the named ones that they refer to."""

    answers: tuple[dict[str, Any], ...]
    bodies: tuple[dict[str, Any], ...]
    components: dict[str, dict[str, Any]]


def schema_of(body: Any) -> dict[str, Any]:
    """Return the schema of what a client sends, complete in itself."""
    schemas = schemas_of((), (body,), "#/$defs/{name}")
    return schemas.bodies[0] | ({"$defs": schemas.components} if schemas.components else {})


def schemas_of(answers: Sequence[Any], bodies: Sequence[Any], ref_template: str) -> Schemas:
    """Describe what clients get and what they send.

    In an answer every key is there, in a body those with a default may be missing. Raises what msgspec raises for a
    type that JSON Schema cannot describe.
    """
    kinds = (*answers, *bodies)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=ref_template)
    sent = set(_classes(bodies))
    for kind in _classes(kinds):
        component = components.get(kind.__name__) or components.get(f"{kind.__module__}.{kind.__qualname__}")
        if component is not None:
            _add_notes(component, kind)
            if kind not in sent and issubclass(kind, Struct) and not kind.__struct_config__.omit_defaults:
                unset = {f.encode_name for f in msgspec.structs.fields(kind) if f.default is msgspec.UNSET}
                component["required"] = [key for key in component.get("properties", ()) if key not in unset]
    return Schemas(tuple(schemas[: len(answers)]), tuple(schemas[len(answers) :]), components)


def _classes(kinds: Sequence[Any]) -> list[type]:
    """Return every Struct and enumeration that these types are made of."""
    found: dict[type, None] = {}
    waiting: list[Any] = list(types.multi_type_info(kinds))
    while waiting:
        info = waiting.pop()
        if isinstance(info, types.StructType | types.EnumType):
            kind: type = get_origin(info.cls) or info.cls
            if kind in found:
                continue
            found[kind] = None
        waiting.extend(_parts(info))
    return list(found)


def _parts(info: Struct) -> Iterator[Struct]:
    for name in info.__struct_fields__:
        value: Any = getattr(info, name)
        parts = cast("Sequence[Any]", value if isinstance(value, tuple) else (value,))
        for part in parts:
            if isinstance(part, types.Type | types.Field):
                yield part


def _add_notes(component: dict[str, Any], kind: type) -> None:
    if "description" in component:
        component["description"] = inspect.cleandoc(component["description"])
    notes = notes_of(kind)
    if issubclass(kind, Enum):
        _add_member_notes(component, kind, notes)
    elif issubclass(kind, Struct):
        names = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
        for key, schema in component.get("properties", {}).items():
            if names.get(key) in notes:
                schema.setdefault("description", notes[names[key]])


def _add_member_notes(component: dict[str, Any], kind: type[Enum], notes: Mapping[str, str]) -> None:
    """Name the values for generators of clients, and say what each means."""
    members = {member.value: member.name for member in kind}
    names = [members[value] for value in component["enum"]]
    component["x-enum-varnames"] = names
    if notes:
        component["x-enum-descriptions"] = [notes.get(name, "") for name in names]
