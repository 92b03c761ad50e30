"""`/resources`: which types of resources plugins add, and all that a client needs to use them."""

from collections.abc import Mapping
from typing import Any

import structlog
from falcon.asgi import Request, Response
from msgspec import structs

from virtumancer.contracts import ResourceType
from virtumancer.contracts.responses import ResourceActionInfo, ResourceTypeInfo
from virtumancer.http import examples
from virtumancer.http.api_paths import API
from virtumancer.http.endpoint import SIGNED_IN, endpoint
from virtumancer.http.middleware.authorization import access_of
from virtumancer.http.requests import send_json
from virtumancer.http.resources.resource_endpoints import endpoints_of_type, path_text
from virtumancer.query.fields import Kind, fields_of
from virtumancer.schema.json_schema import schema_of
from virtumancer.services.auth import ANY_RIGHT

__all__ = ["ResourceTypesResource"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
AnyType = ResourceType[Any, Any, Any]


class ResourceTypesResource:
    """The types that plugins add."""

    def __init__(self, types: Mapping[str, tuple[str, AnyType]]) -> None:
        self._types = types
        self._described: dict[str, ResourceTypeInfo] = {}

    @endpoint(
        "listResourceTypes",
        "resources",
        path=API / "resources",
        right=SIGNED_IN,
        answer=tuple[ResourceTypeInfo, ...],
        example=[examples.RESOURCE_TYPE],
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """List the types of resources that plugins add, as far as the caller may use them somewhere.

        Each says where its items are, what can be done with them, and what that takes and answers, as JSON Schema.
        """
        rights = access_of(req).rights()
        found = [self._describe(plugin, type_) for _, (plugin, type_) in sorted(self._types.items())]
        send_json(resp, [info for info in found if ANY_RIGHT in rights or rights & set(info.rights.values())])

    def _describe(self, plugin: str, type_: AnyType) -> ResourceTypeInfo:
        if type_.name not in self._described:
            self._described[type_.name] = _info(plugin, type_)
        return self._described[type_.name]


def _info(plugin: str, type_: AnyType) -> ResourceTypeInfo:
    def schema(kind: Any) -> Mapping[str, Any] | None:
        return None if kind is None else _schema(plugin, type_, kind)

    fields = fields_of(type_.item)
    names = {field.name: field.encode_name for field in structs.fields(type_.item)}
    plain = [name for name in names.values() if name in fields and fields[name].kind is not Kind.OBJECT]
    return ResourceTypeInfo(
        name=type_.name,
        singular=type_.singular,
        title=type_.title,
        plugin=plugin,
        path=path_text(type_),
        parent=type_.parent.name if type_.parent is not None else None,
        key="" if type_.singleton else names[type_.key],
        singleton=type_.singleton,
        rights=_rights(plugin, type_),
        columns=tuple(names[name] for name in type_.columns) or tuple(plain),
        item=_schema(plugin, type_, type_.item),
        create=schema(type_.create),
        plan=schema(type_.plan),
        change=schema(type_.change),
        query=schema(type_.query),
        options=schema(type_.options),
        actions=tuple(
            ResourceActionInfo(
                name=action.name,
                title=action.title,
                description=action.description,
                right=type_.rights.of(action.name),
                destructive=action.destructive,
                params=_schema(plugin, type_, action.params),
                answer=schema(action.answer),
            )
            for action in type_.actions
        ),
    )


def _rights(plugin: str, type_: AnyType) -> dict[str, str]:
    actions = {action.name for action in type_.actions}
    records = endpoints_of_type(plugin, type_)
    verbs = {str(record.extensions["x-verb"]): str(record.right) for record in records}
    return {verb: right for verb, right in verbs.items() if verb not in actions}


def _schema(plugin: str, type_: AnyType, kind: Any) -> Mapping[str, Any]:
    """Describe a type; left open when it has no JSON Schema."""
    try:
        return schema_of(kind)
    except Exception as error:  # noqa: BLE001 - a plugin's type may hold anything
        log.warning("a type is not described", plugin=plugin, resource=type_.name, reason=str(error))
        return {}
