"""Finds who serves a type of resource at a place, and calls it: under its deadline, in its plugin's name, checked."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from typing import Any, TypeVar

from msgspec import Struct, structs

from virtumancer.contracts import (
    HOSTS,
    VMS,
    Caller,
    Collection,
    Collections,
    Job,
    NoCollections,
    OperationTarget,
    ResourceAction,
    ResourceChange,
    ResourceChanged,
    ResourceContext,
    ResourceType,
    ResourceVerb,
    VMRef,
    VMState,
    lineage_of,
)
from virtumancer.errors import AbilityMissing, PluginFailed, ResourceNotFound, WrongPowerState
from virtumancer.plugins.calls.abilities import owner_of
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.services.hosts.power_states import state_name
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.hosts.vm_lookup import find_vm
from virtumancer.services.resources.results import checked_item, checked_items, checked_struct
from virtumancer.services.runtime.bus import EventBus

__all__ = ["HOOK", "Found", "ResourcesService", "parameter_of"]

AnyType = ResourceType[Any, Any, Any]
T = TypeVar("T")
HOOK = "virtumancer_resources"


def parameter_of(type_: AnyType) -> str:
    """Name the path parameter that stands for an item of a type."""
    return type_.singular.replace("-", "_")


class Found(Struct, frozen=True, kw_only=True):
    """A collection at its place: who serves it there, and whom to blame."""

    type: AnyType
    at: ResourceContext
    collection: Collection[Any]
    plugin: str
    session: HostSession | None = None

    def target(self, key: str = "") -> OperationTarget:
        """Say what an operation is about."""
        vm = self.at.vm
        keys = "/".join((*self.at.keys, key)) if self.at.keys and key else key
        return OperationTarget(
            host=self.at.host,
            vm=vm.uuid if vm else "",
            name=vm.name if vm else "",
            resource=self.type.name,
            key=keys or (self.type.name if self.type.singleton else ""),
        )

    def described(self, verb: str, key: str = "") -> str:
        """Say what is done, for messages."""
        which = f" {key[:80]!r}" if key else ""
        vm = f" of VM {self.at.vm.name!r}" if self.at.vm else ""
        host = f" on host {self.at.host!r}" if self.at.host else ""
        return f"{verb} of {self.type.singular if key else self.type.name}{which}{vm}{host}"


class ResourcesService:
    """Serves the types of the plugins, by name."""

    def __init__(
        self,
        hosts: HostsService,
        types: Mapping[str, tuple[str, AnyType]],
        health: PluginCaller,
        bus: EventBus,
    ) -> None:
        self._hosts = hosts
        self._owners = {id(type_): plugin for plugin, type_ in types.values()}
        self._health = health
        self._bus = bus
        self.collections_for: Callable[[str, Caller, tuple[str, str]], Collections] = _nothing
        """Gives a plugin the resources of others, for somebody, and with the VM of a host that it has to itself."""

    def serves(self, type_: AnyType) -> bool:
        """Say whether a plugin of this server serves just this type."""
        return id(type_) in self._owners

    async def locate(
        self, type_: AnyType, place: Mapping[str, str], query: Any, caller: Caller, *, to_change: bool = False
    ) -> Found:
        """Look a place up: its host, its VM, and every other parent, which has to be there.

        Raises `HostNotFound`, `HostUnavailable`, `VMNotFound`, `ResourceNotFound` and `AbilityMissing`.
        """
        lineage = lineage_of(type_)
        session: HostSession | None = None
        vm: VMRef | None = None
        if HOSTS in lineage:
            host = place["host"]
            session = await self._hosts.confirmed(host) if to_change else self._hosts.session(host)
            session.require_connection()
            if VMS in lineage or (not type_.readable and VMS.singular in place):
                vm = await find_vm(session, place["vm"])
        keys: tuple[str, ...] = ()
        owner = self._owners.get(id(type_), "")
        for parent in lineage[:-1]:
            if parent in {HOSTS, VMS}:
                continue
            above = self._found(
                parent, owner, session, ResourceContext(type=parent, host=_id(session), vm=vm, keys=keys)
            )
            key = "" if parent.singleton else place[parameter_of(parent)]
            item = await self.item(above, key)
            if not parent.singleton:
                keys = (*keys, getattr(item, parent.key))
        has = (_id(session), vm.uuid) if vm is not None and to_change else ("", "")
        at = ResourceContext(
            type=type_,
            host=_id(session),
            vm=vm,
            keys=keys,
            query=query,
            actor=caller.actor,
            caller=caller,
            collections=self.collections_for(owner, caller, has),
        )
        return self._found(type_, owner, session, at)

    async def items(self, found: Found) -> list[Any]:
        """List all items."""
        what = found.described("list")
        returned = await self._call(found, ResourceVerb.LIST, what, lambda: found.collection.list(found.at))
        return self._checked(found, ResourceVerb.LIST, what, lambda: checked_items(found.type, returned))

    async def item(self, found: Found, key: str) -> Any:
        """Return one item. Raises `ResourceNotFound`."""
        if not found.type.readable:  # the VM, which has just been looked up
            return found.at.vm
        what = found.described("get", key)
        returned = await self._call(found, ResourceVerb.GET, what, lambda: found.collection.get(found.at, key))
        if returned is None:
            raise ResourceNotFound(f"there is no {found.described('', key).removeprefix(' of ')}")
        item = self._checked(found, ResourceVerb.GET, what, lambda: checked_item(found.type, returned))
        if not found.type.singleton and (other := getattr(item, found.type.key)).casefold() != key.casefold():
            raise self.failure(
                found, ResourceVerb.GET, what, f"it was asked for {key[:80]!r}, and found {other[:80]!r}"
            )
        return item

    async def create(self, found: Found, spec: Any, job: Job) -> Any:
        """Make an item and tell of it."""
        what = found.described("create")
        made = await self._write(found, ResourceVerb.CREATE, what, lambda: found.collection.create(found.at, spec, job))
        item = self._checked(found, ResourceVerb.CREATE, what, lambda: checked_item(found.type, made))
        self.tell(found, self.key_of(found, item), ResourceChange.CREATED)
        return item

    async def plan(self, found: Found, spec: Any) -> Any:
        """Say what that would do. Raises `AbilityMissing` where nothing can."""
        kind, what = found.type.plan, found.described("plan")
        if kind is None:
            raise AbilityMissing(f"nobody can say what the {what} would do", ability="dry_run")
        returned = await self._call(found, "plan", what, lambda: found.collection.plan(found.at, spec))
        return self._checked(found, "plan", what, lambda: checked_struct(kind, returned))

    async def change(self, found: Found, key: str, change: Any, job: Job) -> Any:
        """Change an item and tell of it."""
        what = found.described("change", key)
        made = await self._write(
            found, ResourceVerb.CHANGE, what, lambda: found.collection.change(found.at, key, change, job)
        )
        item = self._checked(found, ResourceVerb.CHANGE, what, lambda: checked_item(found.type, made))
        self.tell(found, key, ResourceChange.CHANGED)
        return item

    async def delete(self, found: Found, key: str, job: Job) -> None:
        """Remove an item and tell of it."""
        what = found.described("delete", key)
        await self._write(found, ResourceVerb.DELETE, what, lambda: found.collection.delete(found.at, key, job))
        self.tell(found, key, ResourceChange.DELETED)

    async def act(self, found: Found, key: str, action: ResourceAction[Any], params: Any, job: Job) -> Any:
        """Do something else with an item and tell of it; returns the answer, None for nothing."""
        what = found.described(action.name, key)
        method: Any = getattr(found.collection, action.name.replace("-", "_"), None)
        if method is None:
            raise AbilityMissing(f"the {what} is not possible there", ability=action.name)
        given = (params,) if structs.fields(action.params) else ()
        returned = await self._write(
            found, action.name, what, lambda: method(found.at, key, *given, job), action.timeout
        )
        kind = action.answer
        answer = (
            None if kind is None else self._checked(found, action.name, what, lambda: checked_struct(kind, returned))
        )
        self.tell(found, key, ResourceChange.CHANGED)
        return answer

    def check_state(self, found: Found, verb: str, states: frozenset[VMState] | None = None) -> None:
        """Raise `WrongPowerState` when the VM is in no state in which a verb makes sense."""
        allowed = found.type.states.get(verb) if states is None else states
        vm = found.at.vm
        if allowed is None or vm is None or vm.state in allowed:
            return
        names = ", ".join(sorted(map(state_name, allowed)))
        raise WrongPowerState(
            f"VM {vm.name!r} on host {found.at.host!r} is {state_name(vm.state)}; {verb} of {found.type.name} needs it "
            f"to be one of: {names}",
            state=int(vm.state),
        )

    def key_of(self, found: Found, item: Any) -> str:
        """Return the key of an item, empty for a singleton."""
        return "" if found.type.singleton else getattr(item, found.type.key)

    def tell(self, found: Found, key: str, change: ResourceChange) -> None:
        """Tell everybody what became of an item; of VMs their host does."""
        if not found.type.readable:
            return
        vm = found.at.vm
        self._bus.publish(
            ResourceChanged(
                host_id=found.at.host,
                vm_uuid=vm.uuid if vm else "",
                resource=found.type.name,
                singular=found.type.singular,
                keys=(*found.at.keys, key) if key else found.at.keys,
                change=change,
                right=found.type.rights.of(ResourceVerb.GET),
            )
        )

    def call_of(self, found: Found, verb: str) -> PluginCall:
        """Name a call as it is counted."""
        return PluginCall(found.plugin, HOOK, f"{found.type.name}.{verb}", found.at.host)

    def _found(self, type_: AnyType, plugin: str, session: HostSession | None, at: ResourceContext) -> Found:
        server: Any = type_.served_by
        if not isinstance(server, type):
            owner = self._owners.get(id(type_), plugin)
            return Found(type=type_, at=at, collection=server, plugin=owner, session=session)
        kind: type[Collection[Any]] = server
        if session is None:  # refused when it was loaded
            raise AbilityMissing(f"{type_.name} belongs to no host", ability=kind.ability)
        connection, driver = session.require_connection(), session.driver
        served = connection.ability(kind)
        if served is None:
            raise AbilityMissing(f"host {at.host!r} has no {kind.ability}", ability=kind.ability)
        if isinstance(connection, Collection):  # two of them would have one list()
            self._health.count_failure(PluginCall(driver, HOOK, f"{type_.name}.ability", at.host))
            reason = "its connection inherits a collection; ability() is to return an object of its own for it"
            what = f"asking host {at.host!r} for {type_.name}"
            raise PluginFailed(f"{what} failed inside plugin {driver!r}: {reason}", plugin=driver)
        return Found(type=type_, at=at, collection=served, plugin=owner_of(served, driver), session=session)

    async def _write(
        self,
        found: Found,
        verb: str,
        what: str,
        begin: Callable[[], Awaitable[T]],
        timeout: float | None = None,
    ) -> T:
        with found.session.changing(found.at.vm.uuid if found.at.vm else "") if found.session else nullcontext():
            return await self._call(found, verb, what, begin, timeout)

    async def _call(
        self, found: Found, verb: str, what: str, begin: Callable[[], Awaitable[T]], timeout: float | None = None
    ) -> T:
        return await self._health.call(self.call_of(found, verb), what, begin, timeout or found.type.timeout)

    def _checked(self, found: Found, verb: str, what: str, check: Callable[[], T]) -> T:
        # Looking at what a plugin returned may run code of it.
        return self._health.part_at_once(self.call_of(found, verb), what, check)

    def failure(self, found: Found, verb: str, what: str, reason: str) -> PluginFailed:
        """Count that something came back otherwise than the contract says, and make the error that says so."""
        self._health.count_failure(self.call_of(found, verb))
        return PluginFailed(f"{what} failed inside plugin {found.plugin!r}: {reason}", plugin=found.plugin)


def _nothing(_plugin: str, _caller: Caller, _has: tuple[str, str]) -> Collections:
    return NoCollections()


def _id(session: HostSession | None) -> str:
    return session.host.id if session else ""
