"""Events of a plugin's own types: declared once, published through its context, told with all others."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from msgspec import Struct

__all__ = ["PluginEvent", "PluginEventType"]

D = TypeVar("D", bound=Struct)


class PluginEventType(Struct, Generic[D], frozen=True, kw_only=True):
    """A type of event: `<plugin>.<name>`, with what else is known in `data`. Since 1.3.

    May see it who has `right` on the VM or host that it is about, or on everything when it is about none.
    """

    name: str
    """In small letters, digits and `-`; with the plugin's name and the dot it has 32 characters at most."""
    data: type[D]
    """The Struct that its `data` is."""
    description: str
    """What it tells, in a sentence; it stands in the OpenAPI document."""
    right: str = "read"


class PluginEvent(Struct, frozen=True, kw_only=True):
    """A plugin told of something; `host_id` and `vm_uuid` are empty for what is about none. Since 1.3."""

    host_id: str
    vm_uuid: str
    name: str
    """Of the VM, or else of the plugin."""
    plugin: str
    type: str
    data: Mapping[str, Any]
    right: str
