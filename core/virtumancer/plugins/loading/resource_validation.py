"""Checks the resource types of a plugin: that routes, rights and descriptions can be made of them."""

import inspect
from collections.abc import Collection as Names
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct, structs

from virtumancer.contracts import (
    HOSTS,
    VMS,
    Collection,
    ContentCollection,
    ResourceAction,
    ResourceType,
    ResourceVerb,
    Right,
    VMRef,
    lineage_of,
)
from virtumancer.plugins.loading.refusal import PluginRefused, nearest
from virtumancer.plugins.loading.reserved_names import ReservedNames
from virtumancer.plugins.loading.validation import FOR_CONSOLES, NAME, SEGMENT

__all__ = ["check_resources"]

AnyType = ResourceType[Any, Any, Any]
ROLES = frozenset({"viewer", "operator"})
LIST_PARAMETERS = frozenset({"limit", "cursor", "filter", "sort", "fields", "dry_run"})
CONTENT = "content"
# The types of its events are stored, as `snapshot.created`.
LONGEST_SINGULAR = 24
METHODS = frozenset(
    {"list", "get", "create", "plan", "change", "delete", "size", "sha256", "read", "write", "ability", CONTENT}
)
# What a verb calls on the collection.
CALLED = {ResourceVerb.DOWNLOAD: "read", ResourceVerb.UPLOAD: "write"}


def check_resources(types: Iterable[AnyType], reserved: Names[str]) -> None:
    """Refuse the first that could not be served."""
    for type_ in types:
        _check_names(type_, reserved)
        _check_structs(type_)
        _check_bodies(type_)
        for action in type_.actions:
            _check_action(type_, action)
        _check_server(type_)
        _check_attributes(type_)
        _check_rights(type_)


def _check_names(type_: AnyType, reserved: Names[str]) -> None:
    for attribute in ("name", "singular"):
        value = getattr(type_, attribute)
        if not (isinstance(value, str) and SEGMENT.fullmatch(value)):
            raise _wrong(type_, f"{attribute} = {value!r} is not usable: lower-case letters, digits and - are")
    if len(type_.singular) > LONGEST_SINGULAR:
        raise _wrong(type_, f"singular = {type_.singular!r} is longer than {LONGEST_SINGULAR} characters")
    try:
        lineage = lineage_of(type_)
    except (ValueError, AttributeError) as error:
        raise _wrong(type_, f"parent = {type_.parent!r} cannot be: {error}") from error
    singulars = [one.singular for one in lineage]
    if len(set(singulars)) < len(singulars):
        raise _wrong(type_, f"singular = {type_.singular!r} is that of one of its parents too; choose another")
    if not type_.readable:
        _check_addition(type_)
        return
    taken = _taken_beside(type_, reserved)
    if type_.name in taken:
        others = ", ".join(sorted(taken))
        raise _wrong(type_, f"its name stands for something else there, as do: {others}; choose another")


def _check_addition(type_: AnyType) -> None:
    """Refuse what adds to anything but the VMs of the core, or brings what these have already."""
    for attribute in ("name", "singular", "parent", "key"):
        wanted, found = getattr(VMS, attribute), getattr(type_, attribute)
        if found != wanted:
            shown = "HOSTS" if attribute == "parent" else repr(wanted)
            raise _wrong(type_, f"readable = False adds to the VMs of the core, so {attribute} is to be {shown}")
    if type_.item is not VMRef:
        raise _wrong(type_, f"item = {type_.item!r}: what adds to the VMs of the core says which VM it is, as a VMRef")
    if type_.actions:
        raise _wrong(type_, "actions: those of VMs are given by virtumancer_vm_actions")
    if type_.content or type_.singleton or type_.query:
        raise _wrong(type_, "content, singleton and query make no sense where nothing is read")
    if not (type_.create or type_.change or type_.delete):
        raise _wrong(type_, "it adds nothing: set create, change or delete")


def _taken_beside(type_: AnyType, reserved: Names[str]) -> frozenset[str]:
    """Return the names that stand for something else where a type is mounted."""
    parent = type_.parent
    if parent is VMS:
        return FOR_CONSOLES.union(reserved)
    if isinstance(reserved, ReservedNames):
        if parent is None:
            return reserved.at_root
        if parent is HOSTS:
            return reserved.below_host
    return frozenset() if parent is None else frozenset(action.name for action in parent.actions) | {CONTENT}


def _check_structs(type_: AnyType) -> None:
    for attribute in ("item", "create", "plan", "change", "query", "options"):
        value = getattr(type_, attribute)
        if not (_is_struct(value) or (value is None and attribute != "item")):
            raise _wrong(type_, f"{attribute} = {value!r} is no msgspec Struct")
    fields = {field.name: field for field in structs.fields(type_.item)}
    key = fields.get(type_.key)
    if not type_.singleton and (key is None or not _is_text(type_.item, type_.key)):
        known = ", ".join(name for name in fields if _is_text(type_.item, name)) or "none"
        raise _wrong(type_, f"key = {type_.key!r} is no text of {type_.item.__name__}; there are: {known}")
    for example in type_.examples:
        if not isinstance(example, type_.item):
            raise _wrong(type_, f"the example {example!r} is no {type_.item.__name__}")


def _check_bodies(type_: AnyType) -> None:
    if type_.plan is not None and type_.create is None:
        raise _wrong(type_, "plan says what creating would do, and there is no create")
    if type_.change is not None and (needed := [f.name for f in structs.fields(type_.change) if f.required]):
        reason = f"what is left out stays, so every attribute of {type_.change.__name__} needs a default such as UNSET"
        raise _wrong(type_, f"{reason}: {', '.join(needed)}")
    for attribute in ("query", "options"):
        kind = getattr(type_, attribute)
        for field in structs.fields(kind) if kind is not None else ():
            if field.encode_name in LIST_PARAMETERS:
                raise _wrong(type_, f"{attribute}: every list has a parameter {field.encode_name!r}; choose another")
            if field.required:
                raise _wrong(type_, f"{attribute}: the parameter {field.encode_name!r} needs a default")


def _check_server(type_: AnyType) -> None:
    needed = ContentCollection if type_.content else Collection
    server: Any = type_.served_by
    kind = cast("type[Any]", server if isinstance(server, type) else type(server))
    if not issubclass(kind, needed) or server in {Collection, ContentCollection}:
        raise _wrong(type_, f"served_by = {server!r} is no subclass, or object of a subclass, of {needed.__name__}")
    if isinstance(server, type):
        name = getattr(server, "ability", None)
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise _wrong(type_, f'{server.__name__} has no name as an ability: write `ability = "…"` in the class')
        if HOSTS not in lineage_of(type_):
            reason = f"no host can have the ability {name!r} for what belongs to no host; set parent, or an object that"
            raise _wrong(type_, f"{reason} serves it")
        return
    for method, given in _methods(type_):
        function: Any = getattr(server, method, None)
        if function is None or _inherited(cast("type[Any]", kind), method):
            raise _wrong(type_, f"{kind.__name__} has no method {method!r}, which its type offers")
        if method != "read" and not inspect.iscoroutinefunction(function):
            raise _wrong(type_, f"{kind.__name__}.{method} is not async")
        if not _takes(function, given):
            reason = f"{kind.__name__}.{method} does not take what it is called with"
            raise _wrong(type_, f"{reason}: write it as {method}(self, {', '.join(given)})")


def _takes(function: Any, given: Sequence[str]) -> bool:
    try:
        inspect.signature(function).bind(*given)
    except TypeError:
        return False
    except ValueError:  # it has no signature that could be read
        return True
    return True


def _methods(type_: AnyType) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name what the object that serves a type needs, with the arguments of each."""
    if type_.readable:
        yield ("get", ("at", "key")) if type_.singleton else ("list", ("at",))
    if type_.create is not None:
        yield "create", ("at", "spec", "job")
    if type_.plan is not None:
        yield "plan", ("at", "spec")
    if type_.change is not None:
        yield "change", ("at", "key", "change", "job")
    if type_.delete:
        yield "delete", ("at", "key", "job")
    if type_.content:
        yield "size", ("at", "key")
        yield "read", ("at", "key", "span")
        if type_.upload:
            yield "write", ("at", "key", "span", "chunks", "job")
    for action in type_.actions:
        params = ("params",) if structs.fields(action.params) else ()
        yield action.name.replace("-", "_"), ("at", "key", *params, "job")


def _inherited(kind: type, method: str) -> bool:
    ours = getattr(ContentCollection, method, None)
    return ours is not None and getattr(kind, method) is ours


def _check_action(type_: AnyType, action: ResourceAction[Any]) -> None:
    what = f"action {action.name!r}"
    if not SEGMENT.fullmatch(action.name) or action.name.replace("-", "_") in METHODS:
        others = ", ".join(sorted(METHODS))
        raise _wrong(type_, f"{what} is not usable: lower-case letters, digits and - are, but not one of {others}")
    if [one.name for one in type_.actions].count(action.name) > 1:
        raise _wrong(type_, f"{what} is there twice")
    if not _is_struct(action.params):
        raise _wrong(type_, f"{what}: params = {action.params!r} is no msgspec Struct")
    if action.answer is not None and not _is_struct(action.answer):
        raise _wrong(type_, f"{what}: answer = {action.answer!r} is no msgspec Struct")
    _check_seconds(type_, f"{what}: timeout", action.timeout)
    if action.states is not None and VMS not in lineage_of(type_):
        raise _wrong(type_, f"{what}: only what belongs to a VM depends on its power state")


def _check_attributes(type_: AnyType) -> None:
    known = {field.name for field in structs.fields(type_.item)}
    for attribute in ("columns", "volatile"):
        for name in getattr(type_, attribute):
            if name not in known:
                hint = nearest(name, known)
                raise _wrong(type_, f"{attribute}: {type_.item.__name__} has no attribute {name!r}; {hint}")
    of_vms = type_.readable or ResourceVerb.CREATE not in type_.states
    if type_.states and not (of_vms and (VMS in lineage_of(type_) or not type_.readable)):
        raise _wrong(type_, "states: only what belongs to a VM depends on its power state")
    _check_verbs(type_, "states", type_.states)
    _check_seconds(type_, "timeout", type_.timeout)


def _check_rights(type_: AnyType) -> None:
    rights = type_.rights
    _check_verbs(type_, "rights", rights.verbs)
    known = frozenset(right.value for right in Right)
    for right, holders in rights.roles.items():
        if right in known:
            raise _wrong(type_, f"rights: {right!r} is a right of the core, whose roles stay as they are")
        if not SEGMENT.fullmatch(right):
            raise _wrong(type_, f"rights: {right!r} is not usable: lower-case letters, digits and - are")
        if isinstance(holders, str) or not ROLES.issuperset(holders):
            raise _wrong(type_, f'rights: roles[{right!r}] = {holders!r} is no tuple of "viewer" and "operator"')
    # What belongs to something of another plugin may need the right of that one.
    known |= {right for one in lineage_of(type_) for right in one.rights.roles}
    for verb in _offered(type_):
        right = rights.of(verb)
        if not right:
            raise _wrong(type_, f'rights: nothing says who may {verb}; write Rights(write="…")')
        if right not in known:
            hint = f"a new right is named in Rights.roles, as roles={{{right!r}: ('operator',)}}"
            raise _wrong(type_, f"rights: there is no right {right!r}; {nearest(right, known)}; {hint}")


def _offered(type_: AnyType) -> list[str]:
    reading = [ResourceVerb.GET] if type_.singleton else [ResourceVerb.LIST, ResourceVerb.GET]
    given = {
        ResourceVerb.CREATE: type_.create is not None,
        ResourceVerb.CHANGE: type_.change is not None,
        ResourceVerb.DELETE: type_.delete,
        ResourceVerb.DOWNLOAD: type_.content,
        ResourceVerb.UPLOAD: type_.content and type_.upload,
    }
    if not type_.readable:
        reading = []
    offered = [*reading, *(verb for verb, there in given.items() if there)]
    return [*map(str, offered), *(action.name for action in type_.actions)]


def _check_verbs(type_: AnyType, attribute: str, named: Iterable[str]) -> None:
    offered = _offered(type_)
    for verb in named:
        if verb not in offered:
            raise _wrong(type_, f"{attribute}: there is no verb {verb!r}; {nearest(verb, offered)}")


def _check_seconds(type_: AnyType, what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise _wrong(type_, f"{what} = {value!r} is no number of seconds above 0")


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _is_text(kind: type[Struct], attribute: str) -> bool:
    described: Any = msgspec.inspect.type_info(kind)
    found = next((field.type for field in described.fields if field.name == attribute), None)
    while isinstance(found, msgspec.inspect.Metadata):
        found = found.type
    return isinstance(found, msgspec.inspect.StrType)


def _wrong(type_: AnyType, reason: str) -> PluginRefused:
    return PluginRefused("register", f"resource {type_.name!r}: {reason}")
