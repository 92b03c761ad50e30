"""The resources of plugins: one class for each kind of place, made of a descriptor."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import msgspec
from falcon.asgi import Request, Response
from msgspec import UNSET, Struct, structs

from virtumancer.contracts import (
    ResourceAction,
    ResourceType,
    ResourceVerb,
    VMUse,
)
from virtumancer.contracts.responses import VMDetail
from virtumancer.errors import InvalidValue, PreconditionFailed, VMNotFound
from virtumancer.http.endpoint import Endpoint, endpoints_of
from virtumancer.http.middleware.audit import act_of
from virtumancer.http.middleware.authorization import caller_of
from virtumancer.http.middleware.etag import etag_of, is_known, wanted_tags
from virtumancer.http.middleware.respond_async import RespondAsync
from virtumancer.http.pagination import asked_of, send_list
from virtumancer.http.requests import BodyReader, flag_of, send_json
from virtumancer.http.resources.resource_content import ContentResource
from virtumancer.http.resources.resource_endpoints import endpoints_of_type, item_path
from virtumancer.http.resources.vm import VMResource
from virtumancer.plugins import Plugins
from virtumancer.query.fields import fields_of
from virtumancer.query.query import ListSchema
from virtumancer.query.sort import SortKey
from virtumancer.services.audit.log import AuditLog, AuditRecord
from virtumancer.services.auth import PrincipalDirectory
from virtumancer.services.hosts.vm_lookup import SeenUUID
from virtumancer.services.operations.job import OperationJob
from virtumancer.services.operations.operation import RunningOperation
from virtumancer.services.resources.content import ContentService
from virtumancer.services.resources.service import Found, ResourcesService, parameter_of

__all__ = ["PluginTypes", "TypeResource", "plugin_resources"]

AnyType = ResourceType[Any, Any, Any]
Place = Mapping[str, str]
Work = Callable[[Found, str, OperationJob], Awaitable[Any]]
# What may take longer has turns of its own.
QUICK = 60.0
# In a path these are nothing, and the way up, to many clients also when they are encoded: who deletes what is called so
# deletes something else.
UNNAMEABLE = frozenset({"", ".", ".."})


class PluginTypes(Struct, frozen=True, kw_only=True):
    """What the resources of plugins are made with."""

    resources: ResourcesService
    content: ContentService
    deferring: RespondAsync
    bodies: BodyReader
    audit: AuditLog
    callers: PrincipalDirectory
    vms: VMResource


def plugin_resources(plugins: Plugins, tools: PluginTypes) -> Iterator[object]:
    """Yield the resource of each path."""
    for plugin, type_ in plugins.resources.values():
        records = endpoints_of_type(plugin, type_)
        by_path: dict[str, list[Endpoint]] = {}
        for record in records:
            by_path.setdefault(str(record.path), []).append(record)
        for found in by_path.values():
            if found[0].path.segments[-1] == "content":
                yield ContentResource(
                    type_, found, tools.resources, tools.content, tools.deferring, tools.audit, tools.callers
                )
            else:
                yield TypeResource(type_, found, tools)


class TypeResource:
    """One path of a type; Falcon finds its methods as attributes."""

    records_itself = True
    """It knows what is made only when it has read the body."""

    def __init__(self, type_: AnyType, records: list[Endpoint], tools: PluginTypes) -> None:
        self._type = type_
        self._tools = tools
        self._service = tools.resources
        self.endpoints = {record.method: record for record in records}
        self._is_list = not type_.singleton and records[0].path.segments[-1] == type_.name
        last = records[0].path.segments[-1]
        self._action = next((action for action in type_.actions if action.name == last), None)
        responders = {"GET": self._list if self._is_list else self._get, "DELETE": self._delete, "PATCH": self._patch}
        responders["POST"] = self._act if self._action is not None else self._create
        for method in self.endpoints:
            setattr(self, f"on_{method.lower()}", responders[method])

    def join(self, other: object) -> None:
        """Answer also for a resource of the core at the same path, which reads."""
        for method, record in endpoints_of(other).items():
            setattr(self, f"on_{method.lower()}", getattr(other, f"on_{method.lower()}"))
            self.endpoints[method] = record

    def look_at(self, req: Request) -> str:
        """Say where one sees whether a request was done."""
        return req.path.rpartition("/")[0] if self._action is not None else req.path

    async def _list(self, req: Request, resp: Response, **place: str) -> None:
        asked = asked_of(req, _schema_of(self._type))
        found = await self._found(req, place, self._type.query)
        self._service.check_state(found, ResourceVerb.LIST)
        send_list(req, resp, await self._service.items(found), asked)

    async def _get(self, req: Request, resp: Response, **place: str) -> None:
        found = await self._found(req, place, self._type.query)
        self._service.check_state(found, ResourceVerb.GET)
        item = await self._service.item(found, self._said(place))
        if self._type.volatile:  # equal tags are no equal answers
            resp.set_header("ETag", self._tag(item))
            send_json(resp, item)
        elif not is_known(req, resp, self._tag(item)):
            send_json(resp, item)

    async def _create(self, req: Request, resp: Response, **place: str) -> None:
        type_ = self._type
        spec = await self._tools.bodies.decode(req, type_.create or Struct)
        said = getattr(spec, type_.key, UNSET)
        if said in UNNAMEABLE and not type_.singleton:
            raise InvalidValue("it is empty, '.' or '..', and could not be named in a path", field=type_.key)
        if type_.plan is not None and flag_of(req, "dry_run"):
            found = await self._found(req, place, type_.options, to_change=True)
            self._service.check_state(found, ResourceVerb.CREATE)
            send_json(resp, await self._service.plan(found, spec))
            return

        async def work(found: Found, _key: str, job: OperationJob) -> Any:
            return await self._service.create(found, spec, job)

        key = said if isinstance(said, str) else ""
        done = await self._perform(req, resp, place, ResourceVerb.CREATE, work, new_key=key)
        if done is not None:
            item, running = done
            values = {**place, parameter_of(type_): self._service.key_of(running, item)}
            resp.status = 201
            resp.location = item_path(type_).of(**values)
            self._send_tagged(resp, item)

    def _send_tagged(self, resp: Response, item: Any) -> None:
        if self._type.readable:
            resp.set_header("ETag", self._tag(item))
        send_json(resp, item)

    async def _patch(self, req: Request, resp: Response, **place: str) -> None:
        change = await self._tools.bodies.decode_optional(req, self._type.change or Struct)

        async def work(found: Found, key: str, job: OperationJob) -> Any:
            return await self._service.change(found, key, change, job)

        done = await self._perform(req, resp, place, ResourceVerb.CHANGE, work)
        if done is not None:
            self._send_tagged(resp, done[0])

    async def _delete(self, req: Request, resp: Response, **place: str) -> None:
        async def work(found: Found, key: str, job: OperationJob) -> None:
            await self._service.delete(found, key, job)

        if await self._perform(req, resp, place, ResourceVerb.DELETE, work) is not None:
            resp.status = 204

    async def _act(self, req: Request, resp: Response, **place: str) -> None:
        action = self._action
        if action is None:
            raise RuntimeError("this path has no action")
        params = await self._tools.bodies.decode_optional(req, action.params)

        async def work(found: Found, key: str, job: OperationJob) -> Any:
            return await self._service.act(found, key, action, params, job)

        done = await self._perform(req, resp, place, action.name, work, action=action)
        if done is None:
            return
        if action.answer is None:
            resp.status = 204
        else:
            send_json(resp, done[0])

    async def _perform(
        self,
        req: Request,
        resp: Response,
        place: Place,
        verb: str,
        do: Work,
        *,
        action: ResourceAction[Any] | None = None,
        new_key: str | None = None,
    ) -> tuple[Any, Found] | None:
        """Do it as an operation; returns what came of it, None when it was answered with 202 already."""
        type_, service = self._type, self._service
        states = action.states if action is not None else None
        found = await self._found(req, place, type_.options, to_change=True)
        service.check_state(found, verb, states)
        creates = new_key is not None
        key = new_key or ""
        if not creates:
            key = service.key_of(found, await service.item(found, self._said(place)))
        again = dict(place)
        if found.at.vm is not None:  # from now on this one is meant, whoever gets its name
            again["vm"] = SeenUUID(found.at.vm.uuid)
        record = await self._begin_record(req, found, place, key)
        made: list[tuple[Any, Found]] = []

        async def look() -> Found:
            return await self._found(req, again, type_.options, to_change=True)

        async def require() -> None:
            here = await look()
            if (wanted := wanted_tags(req)) is not None:
                self._require_known(wanted, await service.item(here, key))

        async def work(running: RunningOperation) -> None:
            here = await look()
            service.check_state(here, verb, states)
            await running.step(here.described(verb, key))
            running.require_right()
            outcome = await do(here, key, OperationJob(running))
            if not type_.readable:
                outcome = await self._as_the_core_reads_it(here, verb, key, outcome)
            if creates and outcome is not None:
                record.target["key"] = service.key_of(here, outcome)[:300]
            running.result = msgspec.to_builtins(outcome)
            made.append((outcome, here))

        timeout = action.timeout if action is not None else type_.timeout
        order = self._tools.deferring.order(
            req,
            f"{verb}-{type_.singular}",
            type_.rights.of(verb),
            found.target(key),
            use=VMUse.ALONE,
            long=timeout > QUICK,
            require=None if creates or wanted_tags(req) is None else require,
        )
        running = await self._tools.deferring.perform(req, resp, order, work)
        return None if running is None else made[0]

    async def _as_the_core_reads_it(self, found: Found, verb: str, key: str, outcome: Any) -> VMDetail | None:
        """Look at the host, so that whoever reads the VM now reads what was done."""
        uuid = SeenUUID(key if outcome is None else outcome.uuid)
        try:
            described = await self._tools.vms.describe(found.at.host, uuid, fresh=True)
        except VMNotFound as error:
            if outcome is None:
                return None
            reason = f"it returned the VM {uuid!r}, which host {found.at.host!r} does not have"
            raise self._service.failure(found, verb, found.described(verb, key), reason) from error
        return None if outcome is None else described

    async def _begin_record(self, req: Request, found: Found, place: Place, key: str) -> AuditRecord:
        act = act_of(req, dict(place))
        target = {**act.target, "resource": self._type.name}
        if found.at.vm is not None:
            target |= {"vm": found.at.vm.uuid, "name": found.at.vm.name[:300]}
        if key and parameter_of(self._type) not in target:
            target["key"] = key[:300]
        record = await self._tools.audit.begin(structs.replace(act, target=target))
        req.context.act = record
        return record

    async def _found(self, req: Request, place: Place, query: type[Struct] | None, *, to_change: bool = False) -> Found:
        params = None if query is None else parameters_of(req, query)
        caller = self._tools.callers.seen_by_plugins(caller_of(req))
        return await self._service.locate(self._type, place, params, caller, to_change=to_change)

    def _said(self, place: Place) -> str:
        return "" if self._type.singleton else place[parameter_of(self._type)]

    def _tag(self, item: Any) -> str:
        return tag_of(self._type, item)

    def _require_known(self, wanted: frozenset[str], item: Any) -> None:
        if not self._type.readable:
            raise PreconditionFailed("VMs have no version that a change could ask for; leave If-Match out")
        if self._tag(item).strip('"') not in wanted:
            raise PreconditionFailed("this was changed since you read it; read it again, and decide again")


def tag_of(type_: AnyType, item: Any) -> str:
    """Return the tag of an item; what changes by itself does not count."""
    body = msgspec.json.encode(item)
    if type_.volatile:
        document = msgspec.to_builtins(item)
        names = {field.name: field.encode_name for field in structs.fields(type_.item)}
        for name in type_.volatile:
            document.pop(names[name], None)
        body = msgspec.json.encode(document, order="sorted")
    return etag_of(body)


def parameters_of(req: Request, kind: type[Struct]) -> Any:
    """Read the parameters of a query as a Struct; msgspec's errors name the field."""
    names = [field.encode_name for field in structs.fields(kind)]
    given = {name: req.get_param(name) for name in names}
    return msgspec.convert({name: value for name, value in given.items() if value is not None}, kind, strict=False)


def _schema_of(type_: AnyType) -> ListSchema:
    fields = fields_of(type_.item)
    key = {field.name: field.encode_name for field in structs.fields(type_.item)}[type_.key]
    return ListSchema(fields, [SortKey(fields[key])])
