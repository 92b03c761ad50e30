"""Types of events that plugins declare: which could be told, and whose they are."""

from types import ModuleType
from typing import Any

import pytest
from msgspec import Struct

from tests.core.plugin_kit import info, load, plugin
from virtumancer.contracts import Collection, PluginEventType, ResourceType


class Data(Struct, frozen=True):
    size: int


class Item(Struct, frozen=True):
    name: str


class Things(Collection[Item]):
    async def list(self, at: Any) -> list[Item]:
        return []


def declared(**more: Any) -> PluginEventType[Any]:
    values: dict[str, Any] = {"name": "done", "data": Data, "description": "It is done."}
    return PluginEventType(**(values | more))


def telling(*types: Any) -> ModuleType:
    return plugin(virtumancer_event_types=lambda: list(types))


def with_resource(singular: str) -> ModuleType:
    resource = ResourceType(name="things", singular=singular, title="Things", item=Item, served_by=Things())
    return plugin(virtumancer_resources=lambda: [resource])


def test_a_type_is_called_after_its_plugin() -> None:
    plugins = load(backup=telling(declared()), mirror=telling(declared(right="mirror")))
    assert {type_: owner for type_, (owner, _) in plugins.event_types.items()} == {
        "backup.done": "backup",
        "mirror.done": "mirror",
    }
    assert info(plugins, "backup").event_types == ("done",)
    assert "mirror" in plugins.rights()


@pytest.mark.parametrize(
    ("types", "reason"),
    [
        ([declared(name="Done")], "the name 'Done' of a type of event is not usable"),
        ([declared(name="a.b")], "the name 'a.b' of a type of event is not usable"),
        ([declared(name="")], "is not usable"),
        ([declared(), declared()], "the type of event 'done' is there twice"),
        ([declared(data=dict)], "data = <class 'dict'> is no msgspec Struct"),
        ([declared(description="")], "description = '' is no text"),
        ([declared(right="")], "right = '' is no text"),
        ([declared(name="x" * 30)], "is longer than 32 characters"),
    ],
)
def test_a_type_that_could_not_be_told_is_refused(types: list[Any], reason: str) -> None:
    refused = info(load(backup=telling(*types)), "backup")
    assert (refused.state, refused.phase) == ("failed", "register")
    assert reason in refused.reason


@pytest.mark.parametrize("name", ["vm", "host", "operation", "gap", "audit"])
def test_a_plugin_that_is_called_as_types_of_the_server_begin_tells_nothing(name: str) -> None:
    refused = info(load(**{name: telling(declared())}), name)
    assert (refused.state, refused.phase) == ("failed", "register")
    assert f"events whose type begins with '{name}' are the server's" in refused.reason


@pytest.mark.parametrize("order", [("backup", "zzz"), ("backup", "aaa")])
def test_a_type_that_a_resource_of_another_plugin_has_is_refused_with_both_names(order: tuple[str, str]) -> None:
    teller, other = order
    plugins = load(**{teller: telling(declared(name="created")), other: with_resource("backup")})
    states = {name: info(plugins, name) for name in order}
    [refused] = [found for found in states.values() if found.state == "failed"]
    assert all(word in refused.reason for word in ("'backup.created'", f"'{teller}'", f"'{other}'"))


def test_a_type_that_a_resource_of_the_same_plugin_has_is_refused() -> None:
    both = with_resource("backup")
    both.virtumancer_event_types = telling(declared(name="changed")).virtumancer_event_types
    refused = info(load(backup=both), "backup")
    assert "'backup.changed' is that of a resource of plugin 'backup' as well" in refused.reason
