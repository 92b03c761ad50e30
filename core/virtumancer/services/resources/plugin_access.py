"""Resources of plugins, as other plugins use them: with the rights of who asks, on record, and alone with an item."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct, structs

from virtumancer.contracts import (
    HOSTS,
    VMS,
    ByteSpan,
    Caller,
    CollectionAccess,
    Collections,
    Job,
    NullJob,
    ResourceAction,
    ResourceType,
    ResourceVerb,
    VMUse,
    lineage_of,
)
from virtumancer.errors import AbilityMissing, Forbidden, VMNotFound
from virtumancer.services.audit.log import AuditedAction, AuditLog
from virtumancer.services.operations.manager import Operations
from virtumancer.services.resources.content import ContentService, Upload
from virtumancer.services.resources.service import Found, ResourcesService, parameter_of

__all__ = ["Asker", "ResourceUse"]

AnyType = ResourceType[Any, Any, Any]


class Asker(Struct, frozen=True):
    """Which plugin asks, for whom, and what it has to itself meanwhile.

    `caller` is None where a plugin does something by itself: then nobody's rights are asked. `has` are host and UUID of
    the VM that what it does is about.
    """

    plugin: str
    caller: Caller | None = None
    has: tuple[str, str] = ("", "")

    @property
    def actor(self) -> str:
        """Who it is, as in the audit log."""
        return self.caller.actor if self.caller else f"plugin {self.plugin}"


def _anything(_right: str, _host: str, _vm: str) -> bool:
    """Allow what a plugin does by itself, also to those that it asks on its way."""
    return True


class ResourceUse:
    """Gives plugins the resources of others."""

    def __init__(
        self, resources: ResourcesService, content: ContentService, operations: Operations, audit: AuditLog
    ) -> None:
        self.resources = resources
        self.content = content
        self._operations = operations
        self._audit = audit
        resources.collections_for = self._for_collection

    def of(self, asker: Asker) -> Collections:
        """Return all that this one may use."""
        return _Collections(self, asker)

    def _for_collection(self, plugin: str, caller: Caller, has: tuple[str, str]) -> Collections:
        return self.of(Asker(plugin, caller, has))

    @asynccontextmanager
    async def changing(self, asker: Asker, found: Found, verb: str, key: str) -> AsyncGenerator[None]:
        """Have an item alone, with the change of it on record. Raises `Busy`."""
        target, action = found.target(key), f"{verb}-{found.type.singular}"
        facts = {name: value[:300] for name, value in structs.asdict(target).items() if value}
        what = f"{action} by plugin {asker.plugin}"
        use = VMUse.ANYTIME if asker.has == (target.host, target.vm) else VMUse.ALONE
        async with (
            self._audit.recorded(AuditedAction(actor=asker.actor, address="", what=what, target=facts)),
            self._operations.using(target, use, action),
        ):
            yield


class _Collections(Collections):
    def __init__(self, use: ResourceUse, asker: Asker) -> None:
        self._use = use
        self._asker = asker

    def collection(
        self, type_: AnyType, *keys: str, host: str = "", vm: str = "", query: Any = None
    ) -> CollectionAccess[Any, Any, Any]:
        """Return a collection at its place. Raises `AbilityMissing`, and `TypeError` for a place that is none."""
        if not self._use.resources.serves(type_):
            raise AbilityMissing(f"no plugin of this server serves {type_.name}", ability=type_.name)
        return _Access(self._use, self._asker, type_, _place(type_, keys, host, vm), query)


def _place(type_: AnyType, keys: Sequence[str], host: str, vm: str) -> Mapping[str, str]:
    lineage = lineage_of(type_)
    others = [one for one in lineage[:-1] if one not in (HOSTS, VMS) and not one.singleton]
    if len(others) != len(keys):
        names = ", ".join(one.name for one in others) or "none"
        raise TypeError(f"{type_.name} have {len(others)} parents with a key ({names}), given: {len(keys)}")
    place = {parameter_of(one): key for one, key in zip(others, keys, strict=True)}
    for parent, said in ((HOSTS, host), (VMS, vm)):
        if bool(said) != (parent in lineage):
            needed = "need" if parent in lineage else "have no"
            raise TypeError(f"{type_.name} {needed} {parent.singular}, given: {said[:80]!r}")
        if said:
            place[parent.singular] = said
    return place


class _Access(CollectionAccess[Any, Any, Any]):
    """One collection at its place; whatever is called looks the place up anew."""

    def __init__(self, use: ResourceUse, asker: Asker, type_: AnyType, place: Mapping[str, str], query: Any) -> None:
        self._use = use
        self._asker = asker
        self._type = type_
        self._place = place
        self._query = query
        self._resources = use.resources

    async def list(self) -> Sequence[Any]:
        self._check_readable(ResourceVerb.LIST)
        found = await self._found(ResourceVerb.LIST)
        self._resources.check_state(found, ResourceVerb.LIST)
        return await self._resources.items(found)

    async def get(self, key: str = "") -> Any:
        self._check_readable(ResourceVerb.GET)
        found = await self._found(ResourceVerb.GET)
        self._resources.check_state(found, ResourceVerb.GET)
        return await self._resources.item(found, key)

    async def create(self, spec: Any, job: Job | None = None) -> Any:
        self._check(spec, self._type.create, ResourceVerb.CREATE)
        found = await self._found(ResourceVerb.CREATE, to_change=True)
        named = getattr(spec, self._type.key, "")
        async with self._alone(found, ResourceVerb.CREATE, named if isinstance(named, str) else ""):
            return await self._resources.create(found, spec, self._job(job))

    async def plan(self, spec: Any) -> Any:
        self._check(spec, self._type.create, "plan")
        return await self._resources.plan(await self._found(ResourceVerb.CREATE), spec)

    async def change(self, key: str, change: Any, job: Job | None = None) -> Any:
        self._check(change, self._type.change, ResourceVerb.CHANGE)
        async with self._item(ResourceVerb.CHANGE, key) as (found, known):
            return await self._resources.change(found, known, change, self._job(job))

    async def delete(self, key: str = "", job: Job | None = None) -> None:
        if not self._type.delete:
            raise self._not_offered(ResourceVerb.DELETE)
        async with self._item(ResourceVerb.DELETE, key) as (found, known):
            await self._resources.delete(found, known, self._job(job))

    async def act(self, action: str, key: str = "", params: Struct | None = None, job: Job | None = None) -> Any:
        described = next((one for one in self._type.actions if one.name == action), None)
        if described is None:
            there = ", ".join(one.name for one in self._type.actions) or "none"
            raise TypeError(f"{self._type.name} have no action {action!r}; there are: {there}; the action comes first")
        given = described.params() if params is None else params
        self._check(given, described.params, action)
        async with self._item(action, key, described) as (found, known):
            return await self._resources.act(found, known, described, given, self._job(job))

    async def size(self, key: str = "") -> int:
        return await self._use.content.size(*await self._content(ResourceVerb.DOWNLOAD, key))

    async def sha256(self, key: str = "") -> bytes | None:
        return await self._use.content.sha256(*await self._content(ResourceVerb.DOWNLOAD, key))

    async def read(self, key: str, span: ByteSpan) -> AsyncGenerator[bytes]:
        found, known = await self._content(ResourceVerb.DOWNLOAD, key)
        if span.stop is None:
            span = ByteSpan(span.start, await self._use.content.size(found, known))
        pieces = self._use.content.read(found, known, span)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    async def write(self, key: str, span: ByteSpan, chunks: AsyncIterator[bytes], job: Job | None = None) -> None:
        if not (self._type.content and self._type.upload):
            raise self._not_offered(ResourceVerb.UPLOAD)
        length = None if span.stop is None else span.stop - span.start
        async with self._item(ResourceVerb.UPLOAD, key) as (found, known):
            upload = Upload(chunks, length=length, sha256=None)
            await self._use.content.write(found, known, span, upload, self._job(job))

    async def _content(self, verb: str, key: str) -> tuple[Found, str]:
        if not self._type.content:
            raise self._not_offered(verb)
        found = await self._found(verb)
        return found, self._resources.key_of(found, await self._resources.item(found, key))

    @asynccontextmanager
    async def _item(
        self, verb: str, key: str, action: ResourceAction[Any] | None = None
    ) -> AsyncGenerator[tuple[Found, str]]:
        found = await self._found(verb, key, to_change=True)
        known = self._resources.key_of(found, await self._resources.item(found, key))
        async with self._alone(found, verb, known, action):
            yield found, known

    @asynccontextmanager
    async def _alone(
        self, found: Found, verb: str, key: str, action: ResourceAction[Any] | None = None
    ) -> AsyncGenerator[None]:
        self._resources.check_state(found, verb, action.states if action else None)
        async with self._use.changing(self._asker, found, verb, key):
            yield

    async def _found(self, verb: str, key: str = "", *, to_change: bool = False) -> Found:
        place = self._place
        if key and not self._type.readable:  # its items are VMs
            place = {**place, VMS.singular: key}
        caller, right = self._asker.caller, self._type.rights.of(verb)
        host, on_vm = place.get(HOSTS.singular, ""), VMS.singular in place
        allowed = caller is None or caller.may(right, host)
        if not (allowed or on_vm):
            raise self._forbidden(verb, right)
        try:
            found = await self._resources.locate(
                self._type, place, self._query, caller or Caller(self._asker.actor, _anything), to_change=to_change
            )
        except VMNotFound:
            if allowed:
                raise
            raise self._forbidden(verb, right) from None  # who may not look learns nothing of what is there
        vm = found.at.vm.uuid if found.at.vm else ""
        if not (caller is None or caller.may(right, host, vm)):
            raise self._forbidden(verb, right)
        return found

    def _forbidden(self, verb: str, right: str) -> Forbidden:
        who = self._asker.actor
        return Forbidden(f"{who} needs the right {right!r} for {verb} of {self._type.name} there", right=right)

    def _job(self, job: Job | None) -> Job:
        return job or NullJob(self._asker.actor)

    def _check(self, given: object, kind: type[Struct] | None, verb: str) -> None:
        """Raise `TypeError` for what a plugin does not hand over as the descriptor says: that is its own failure."""
        if kind is None:
            raise self._not_offered(verb)
        if not isinstance(given, kind):
            raise TypeError(f"{verb} of {self._type.name} takes a {kind.__name__}, not {type(given).__name__}")

    def _check_readable(self, verb: str) -> None:
        if not self._type.readable:
            raise self._not_offered(verb)

    def _not_offered(self, verb: str) -> TypeError:
        return TypeError(f"the type {self._type.name} offers no {verb}")
