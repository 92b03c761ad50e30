"""The records of the routes that are made of a resource type, from which gate, router and document follow."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct, structs

from virtumancer import errors
from virtumancer.api_base import API_BASE
from virtumancer.contracts import HOSTS, VMS, OperationInfo, ResourceAction, ResourceType, ResourceVerb, lineage_of
from virtumancer.contracts.responses import ContentReceived, VMDetail
from virtumancer.http.api_paths import API, HOST_PATH, VM_PATH, Parameter, Path
from virtumancer.http.endpoint import ASKS_HOST, ASKS_VM, Endpoint, Errors, Header, Query
from virtumancer.http.pagination import LINK, LIST_ERRORS, LIST_QUERY
from virtumancer.http.resources.plugin_routes import identifier
from virtumancer.services.resources.service import parameter_of

__all__ = ["BINARY", "endpoints_of_type", "item_path", "list_path", "path_text", "types_of_endpoints"]

AnyType = ResourceType[Any, Any, Any]
BINARY = "application/octet-stream"
DRY_RUN = Query("dry_run", bool, "Say what it would do, and do nothing.")
CORES = frozenset({OperationInfo, ContentReceived, VMDetail})
TAGGED = Header("ETag", "The version, for `If-Match`.")
WRITING: Errors = (
    errors.StoreUnavailable,
    errors.TooManyOperations,
    errors.PluginDegraded,
    errors.Busy,
    errors.OperationCancelled,
)


def list_path(type_: AnyType) -> Path:
    """Return where the items of a type are, for a singleton where it is itself."""
    if type_ is HOSTS:
        return API / "hosts"
    parent = type_.parent
    return (API if parent is None else item_path(parent)) / type_.name


def item_path(type_: AnyType) -> Path:
    """Return where one item is."""
    if type_ is HOSTS:
        return HOST_PATH
    if type_ is VMS or not type_.readable:
        return VM_PATH
    return list_path(type_) if type_.singleton else list_path(type_) / _parameter(type_)


def path_text(type_: AnyType) -> str:
    """Return the path of the items as clients write it, below the base of the API."""
    return str(list_path(type_)).removeprefix(API_BASE)


@cache
def _parameter(type_: AnyType) -> Parameter:
    description = f"One of {type_.title}, by its `{type_.key}`."
    return Parameter(parameter_of(type_), description, component=f"resources.{type_.name}")


@cache
def _list_of(item: type[Struct]) -> Any:
    return tuple[item, ...]  # type: ignore[valid-type]


@cache
def endpoints_of_type(plugin: str, type_: AnyType) -> tuple[Endpoint, ...]:
    """Return all records of a type."""
    return tuple(_Writer(plugin, type_).all())


def types_of_endpoints(endpoints: Iterator[Endpoint] | tuple[Endpoint, ...]) -> tuple[list[Any], list[Any]]:
    """Return what these answer, and the bodies that they take."""
    known = {id(kind): kind for one in endpoints for kind in (one.answer, *(kind for _, kind in one.others))}
    answers = [kind for kind in known.values() if kind is not None and kind not in CORES]
    return answers, list({id(one.body): one.body for one in endpoints if one.body is not None}.values())


class _Writer:
    """Writes the records of one type."""

    def __init__(self, plugin: str, type_: AnyType) -> None:
        self._plugin = plugin
        self._type = type_
        lineage = lineage_of(type_)
        asks = ASKS_VM if VMS in lineage or not type_.readable else ASKS_HOST if HOSTS in lineage else _WITHOUT_HOST
        self._asks: Errors = (*asks, errors.ResourceNotFound, errors.PluginDegraded)
        if any(parent not in (HOSTS, VMS) for parent in lineage[:-1]) or HOSTS not in lineage:
            self._asks = (*self._asks, errors.AbilityMissing)
        self._changes: Errors = (*self._asks, *WRITING)
        if VMS in lineage or not type_.readable:
            self._changes = (*self._changes, errors.WrongPowerState)
        self._query = _queries(type_.query)
        self._options = _queries(type_.options)
        # What answers for the core's own is the core's.
        self._answer: Any = type_.item if type_.readable else VMDetail
        self._tagged = type_.readable
        self._example = type_.examples[0] if type_.examples else None

    def all(self) -> Iterator[Endpoint]:
        type_ = self._type
        if type_.readable and not type_.singleton:
            yield self._list()
        if type_.readable:
            yield self._get()
        if type_.create is not None:
            yield self._create(type_.create)
        if type_.change is not None:
            yield self._change(type_.change)
        if type_.delete:
            yield self._write(ResourceVerb.DELETE, "DELETE", item_path(type_), status=204, tagged=self._tagged)
        if type_.content:
            yield from self._content()
        for action in type_.actions:
            yield self._action(action)

    def _list(self) -> Endpoint:
        return self._record(
            ResourceVerb.LIST,
            "GET",
            list_path(self._type),
            answer=_list_of(self._type.item),  # type: ignore[arg-type]
            query=(*LIST_QUERY, *self._query),
            headers=(LINK,),
            errors=(*self._asks, *self._states(ResourceVerb.LIST), *LIST_ERRORS),
            example=[self._example] if self._example is not None else None,
        )

    def _get(self) -> Endpoint:
        return self._record(
            ResourceVerb.GET,
            "GET",
            item_path(self._type),
            answer=self._type.item,
            query=self._query,
            headers=(TAGGED,) if self._type.volatile else (),
            errors=(*self._asks, *self._states(ResourceVerb.GET), errors.InvalidValue),
            example=self._example,
            cached=not self._type.volatile,
        )

    def _create(self, body: type[Struct]) -> Endpoint:
        plans = self._type.plan is not None
        return self._write(
            ResourceVerb.CREATE,
            "POST",
            list_path(self._type),
            status=201,
            answer=self._answer,
            body=body,
            query=(DRY_RUN,) if plans else (),
            headers=(Header("Location", "Where it is."),),
            errors=(errors.ResourceExists,),
            others=((200, self._type.plan),) if plans else (),
            example=self._example,
        )

    def _change(self, body: type[Struct]) -> Endpoint:
        return self._write(
            ResourceVerb.CHANGE,
            "PATCH",
            item_path(self._type),
            status=200,
            answer=self._answer,
            body=body,
            tagged=self._tagged,
            example=self._example,
        )

    def _action(self, action: ResourceAction[Any]) -> Endpoint:
        facts: dict[str, Any] = {"x-destructive": action.destructive, "x-timeout": action.timeout}
        if action.states is not None:
            facts["x-states"] = sorted(int(state) for state in action.states)
        written = self._write(
            action.name,
            "POST",
            item_path(self._type) / action.name,
            status=204 if action.answer is None else 200,
            answer=action.answer,
            body=action.params,
            tagged=True,
        )
        texts = {"summary": str(action.title), "description": str(action.description)}
        return structs.replace(written, **texts, extensions={**written.extensions, **facts})

    def _states(self, verb: str) -> Errors:
        return (errors.WrongPowerState,) if verb in self._type.states else ()

    def _content(self) -> Iterator[Endpoint]:
        path = item_path(self._type) / "content"
        yield self._record(
            ResourceVerb.DOWNLOAD,
            "GET",
            path,
            media=BINARY,
            headers=(
                Header("Accept-Ranges", "`bytes`: a `Range` may be asked for."),
                Header("Repr-Digest", "The SHA-256 of the whole content, where it is known (RFC 9530)."),
            ),
            others=((206, None),),
            errors=(*self._asks, *self._states(ResourceVerb.DOWNLOAD), errors.RangeNotSatisfiable),
        )
        if self._type.upload:
            yield self._record(
                ResourceVerb.UPLOAD,
                "PUT",
                path,
                answer=ContentReceived,
                body_media=BINARY,
                query=self._options,
                errors=(*self._changes, errors.InvalidRequest, errors.InvalidValue),
            )

    def _write(
        self,
        verb: str,
        method: str,
        path: Path,
        *,
        status: int,
        tagged: bool = False,
        query: tuple[Query, ...] = (),
        errors: Errors = (),
        others: tuple[tuple[int, Any], ...] = (),
        **fields: Any,
    ) -> Endpoint:
        return self._record(
            verb,
            method,
            path,
            status=status,
            query=(*self._options, *query),
            errors=(*self._changes, *errors, _invalid(), *((_changed(),) if tagged else ())),
            others=(*others, (202, OperationInfo)),
            **fields,
        )

    def _record(self, verb: str, method: str, path: Path, **fields: Any) -> Endpoint:
        type_ = self._type
        plural = verb == ResourceVerb.LIST
        noun = type_.name if plural else type_.singular
        right = type_.rights.of(verb)
        facts: dict[str, Any] = {
            "x-plugin": self._plugin,
            "x-resource": type_.name,
            "x-verb": str(verb),
            "x-permission": right,
        }
        if plural and type_.columns:
            facts["x-columns"] = list(type_.columns)
        if states := type_.states.get(verb):
            facts["x-states"] = sorted(int(state) for state in states)
        return Endpoint(
            path=path,
            method=method,
            id=identifier(f"{verb}-{noun}"),
            tag="resources",
            summary=f"{verb.capitalize().replace('-', ' ')} {'' if plural else 'one of '}{type_.title}",
            right=right,
            extensions=facts,
            **fields,
        )


_WITHOUT_HOST: Errors = (errors.PluginFailed, errors.CallTimeout)


def _invalid() -> type[errors.VirtumancerError]:
    return errors.InvalidValue


def _changed() -> type[errors.VirtumancerError]:
    return errors.PreconditionFailed


def _queries(kind: type[Struct] | None) -> tuple[Query, ...]:
    if kind is None:
        return ()
    described = msgspec.json.schema(kind)
    named: Mapping[str, Any] = described["$defs"][kind.__name__]["properties"]
    return tuple(
        Query(field.encode_name, field.type, str(named[field.encode_name].get("description", "")))
        for field in structs.fields(kind)
    )
