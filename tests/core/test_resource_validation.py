"""Resource types that could not be served are refused when they are loaded, with a sentence that says why."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import UNSET, Struct, UnsetType

from tests.core.plugin_kit import action, info, load, plugin
from virtumancer.contracts import (
    HOSTS,
    VMS,
    Collection,
    ContentCollection,
    Job,
    PluginState,
    ResourceAction,
    ResourceContext,
    ResourceType,
    Rights,
    VMState,
    lineage_of,
)
from virtumancer.plugins import Plugins
from virtumancer.plugins.loading.reserved_names import ReservedNames

RESERVED = ReservedNames({"stats"}, {"info"}, {"audit"})


class Note(Struct, frozen=True):
    name: str
    size: int = 0


class NoteChange(Struct, frozen=True):
    size: int | UnsetType = UNSET


class Needy(Struct, frozen=True):
    size: int


class Limited(Struct, frozen=True):
    limit: int = 0


class Notes(Collection[Note]):
    ability = "notes"

    async def list(self, at: ResourceContext) -> Sequence[Note]:
        return ()

    async def create(self, at: ResourceContext, spec: Note, job: Job) -> Note:
        return spec


class Hasty(Notes):
    async def x(self, at: ResourceContext, job: Job) -> None:
        """Leave out the key."""


class Nameless(Collection[Note]):
    """An ability without a name."""


class Blocking(Notes):
    def list(self, at: ResourceContext) -> Sequence[Note]:  # type: ignore[override]
        return ()


def notes(**fields: Any) -> ResourceType[Any, Any, Any]:
    given: dict[str, Any] = {
        "name": "notes",
        "singular": "note",
        "title": "Notes",
        "item": Note,
        "served_by": Notes,
        "parent": VMS,
        "rights": Rights(write="hardware"),
        **fields,
    }
    return ResourceType(**given)


def loaded(*types: ResourceType[Any, Any, Any], **others: Any) -> Plugins:
    def virtumancer_resources() -> list[ResourceType[Any, Any, Any]]:
        return list(types)

    return load(reserved=RESERVED, noted=plugin(virtumancer_resources=virtumancer_resources, **others))


def refusal(*types: ResourceType[Any, Any, Any], **others: Any) -> str:
    found = info(loaded(*types, **others), "noted")
    assert found.state is PluginState.FAILED
    return found.reason


def test_a_type_that_fits_is_taken_in() -> None:
    plugins = loaded(notes(create=Note))
    assert info(plugins, "noted").resources == ("notes",)
    assert plugins.resources["notes"][0] == "noted"


def test_rights_of_resources_are_known_and_roles_hold_them() -> None:
    plugins = loaded(notes(create=Note, rights=Rights(write="scribble", roles={"scribble": ("operator",)})))
    assert "scribble" in plugins.rights()
    assert plugins.roles() == {"operator": {"scribble"}}


def test_what_belongs_to_something_of_another_plugin_may_need_the_right_of_that() -> None:
    rights = Rights(write="scribble", roles={"scribble": ("operator",)})
    parent = notes(create=Note, rights=rights)
    child = notes(name="lines", singular="line", parent=parent, create=Note, rights=Rights(write="scribble"))

    plugins = loaded(child)  # the plugin of its parent may be another, or not there

    assert "lines" in plugins.resources
    assert plugins.roles() == {"operator": {"scribble"}}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "Notes"}, "name = 'Notes' is not usable"),
        ({"singular": "vm"}, "is that of one of its parents"),
        ({"name": "stats"}, "its name stands for something else there"),
        ({"name": "info", "parent": HOSTS}, "its name stands for something else there"),
        ({"name": "audit", "parent": None, "served_by": Notes()}, "its name stands for something else there"),
        ({"item": dict}, "item = <class 'dict'> is no msgspec Struct"),
        ({"key": "size"}, "key = 'size' is no text of Note; there are: name"),
        ({"plan": Note}, "there is no create"),
        ({"change": Needy}, "needs a default such as UNSET: size"),
        ({"query": Limited}, "every list has a parameter 'limit'"),
        ({"options": Needy}, "the parameter 'size' needs a default"),
        ({"examples": (Needy(1),)}, "is no Note"),
        ({"served_by": dict}, "is no subclass, or object of a subclass, of Collection"),
        ({"content": True}, "of ContentCollection"),
        ({"served_by": Nameless}, "has no name as an ability"),
        ({"parent": None}, "no host can have the ability 'notes'"),
        ({"served_by": Notes(), "delete": True}, "Notes has no method 'delete'"),
        ({"served_by": Blocking()}, "Blocking.list is not async"),
        (
            {
                "served_by": Hasty(),
                "parent": None,
                "actions": (ResourceAction(name="x", title="X", params=NoteChange),),
            },
            "Hasty.x does not take what it is called with: write it as x(self, at, key, params, job)",
        ),
        ({"actions": (ResourceAction(name="size", title="S"),)}, "action 'size' is not usable"),
        ({"actions": (ResourceAction(name="x", title="X"),) * 2}, "action 'x' is there twice"),
        ({"actions": (ResourceAction(name="x", title="X", timeout=0),)}, "no number of seconds above 0"),
        (
            {"parent": HOSTS, "actions": (ResourceAction(name="x", title="X", states=frozenset({VMState.RUNNING})),)},
            "only what belongs to a VM",
        ),
        ({"columns": ("nam",)}, "Note has no attribute 'nam'; did you mean 'name'?"),
        ({"states": {"craete": frozenset({VMState.RUNNING})}}, "there is no verb 'craete'"),
        ({"timeout": "1"}, "no number of seconds above 0"),
        ({"create": Note, "rights": Rights()}, "nothing says who may create"),
        ({"create": Note, "rights": Rights(write="hardwear")}, "no right 'hardwear'; did you mean 'hardware'?"),
        ({"rights": Rights(roles={"access": ("viewer",)})}, "'access' is a right of the core"),
        ({"rights": Rights(roles={"scribble": ("admin",)})}, 'is no tuple of "viewer" and "operator"'),
        ({"rights": Rights(verbs={"dlete": "power"})}, "there is no verb 'dlete'"),
    ],
)
def test_what_could_not_be_served_is_refused(fields: dict[str, Any], words: str) -> None:
    reason = refusal(notes(**fields))
    assert reason.startswith("resource '")
    assert words in reason


def test_a_type_below_another_takes_no_name_of_its_actions() -> None:
    parent = notes(actions=(ResourceAction(name="lines", title="Lines"),))
    words = "its name stands for something else there, as do: content, lines"
    assert words in refusal(parent, notes(name="lines", singular="line", parent=parent))


def test_two_plugins_cannot_have_one_name() -> None:
    both = load(
        one=plugin(virtumancer_resources=lambda: [notes()]),
        two=plugin(virtumancer_resources=lambda: [notes(parent=HOSTS, singular="jot")]),
    )
    assert info(both, "two").reason == "resource 'notes' is claimed by both plugins 'one' and 'two'"


def test_two_plugins_cannot_have_one_singular() -> None:
    both = load(
        one=plugin(virtumancer_resources=lambda: [notes()]),
        two=plugin(virtumancer_resources=lambda: [notes(name="jots")]),
    )
    assert info(both, "two").reason == "singular of a resource 'note' is claimed by both plugins 'one' and 'two'"


def test_an_action_and_a_resource_cannot_have_one_name() -> None:
    assert "'notes' is there 2 times" in refusal(notes(), virtumancer_vm_actions=lambda: [action("notes")])


def test_content_needs_who_serves_it() -> None:
    class Pages(ContentCollection[Note]):
        ability = "pages"

    assert info(loaded(notes(content=True, served_by=Pages)), "noted").state is PluginState.ACTIVE


def test_the_lineage_begins_with_the_outermost() -> None:
    assert [one.name for one in lineage_of(notes())] == ["hosts", "vms", "notes"]
