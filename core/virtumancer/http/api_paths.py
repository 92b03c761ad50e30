"""The paths of the API, made of segments and of parameters that say what they are."""

import re
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from virtumancer.api_base import API_BASE

__all__ = [
    "API",
    "HOST_PATH",
    "OPERATION",
    "OPERATIONS",
    "ROOT",
    "VM_PATH",
    "Parameter",
    "Path",
    "plain_path",
]

CONVERTER = re.compile(r":\w+\}")


class Parameter(Struct, frozen=True):
    """A part of a path that stands for something.

    With a `description` it is a component of the OpenAPI document, which is called as the parameter is unless
    `component` says otherwise. `converter` is Falcon's: `segment` is one whole segment, `path` is the rest.
    """

    name: str
    description: str = ""
    pattern: str = ""
    example: str = ""
    component: str = ""
    converter: str = "segment"

    def __str__(self) -> str:
        """Return it as OpenAPI has it."""
        return f"{{{self.name}}}"

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its value."""
        return {"type": "string", "pattern": self.pattern} if self.pattern else {"type": "string", "minLength": 1}


class Path(Struct, frozen=True):
    """A path from the root of the server, as `VM_PATH / "stats"`."""

    segments: tuple[str | Parameter, ...] = ()

    def __truediv__(self, segment: str | Parameter) -> "Path":
        """Return the path one segment further."""
        return Path((*self.segments, segment))

    def __str__(self) -> str:
        """Return it as OpenAPI and the audit log have it."""
        return "".join(f"/{segment}" for segment in self.segments)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What its fields stand for, in order."""
        return tuple(segment for segment in self.segments if isinstance(segment, Parameter))

    @property
    def template(self) -> str:
        """Return it as Falcon's router takes it."""
        found = str(self)
        for field in self.parameters:
            found = found.replace(str(field), f"{{{field.name}:{field.converter}}}")
        return found

    def of(self, **values: str) -> str:
        """Return the path to one object, each value being a segment whatever it holds."""
        found = (_segment(values[part.name]) if isinstance(part, Parameter) else part for part in self.segments)
        return "".join(f"/{segment}" for segment in found)

    def below(self, parent: "Path") -> str | Parameter | None:
        """Return the segment that follows a parent; None when it is not below it."""
        depth = len(parent.segments)
        return self.segments[depth] if len(self.segments) > depth and self.segments[:depth] == parent.segments else None


def _segment(value: str) -> str:
    # A client takes `..` for the way up, and would ask for, change or delete another thing.
    return value.replace(".", "%2E") if value in {".", ".."} else quote(value, safe="")


def plain_path(template: str) -> str:
    """Return the path that Falcon's template was made of, as `str()` of it does."""
    return CONVERTER.sub("}", template)


ROOT = Path()
API = ROOT / API_BASE.strip("/")
HOST_PATH = API / "hosts" / Parameter("host", "The id of a host.", pattern="^[A-Za-z0-9._-]{1,63}$", example="kvm1")
VM_PATH = (
    HOST_PATH
    / "vms"
    / Parameter(
        "vm",
        "The UUID of a VM or its name; a UUID goes first. A name may hold any character, `/` as `%2F`.",
        example="web01",
    )
)
OPERATIONS = API / "operations"
OPERATION = OPERATIONS / Parameter(
    "operation", "The id of an operation.", pattern="^[0-9a-f]{16}$", example="4be0643f1d98573b"
)
