"""Actions on VMs and hosts: one record from which route, checks and documentation come."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from virtumancer.contracts.callers import Caller
from virtumancer.contracts.collections import Collections, HasCollections, NoCollections
from virtumancer.contracts.drivers import HostConnection
from virtumancer.contracts.jobs import Job, NullJob, VMUse
from virtumancer.contracts.models import Host, VMRef, VMState

__all__ = ["ActionContext", "ActionOffer", "HostAction", "NoParams", "VMAction"]


class NoParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of an action that takes none."""


class ActionContext(Struct, HasCollections, frozen=True):
    """Where an action runs, what it reports to, who asks, and what others serve; the last three since 1.3."""

    host: Host
    connection: HostConnection
    job: Job = NullJob()
    """What people see of an operation comes from here; where the action is none, nobody listens."""
    caller: Caller = Caller()
    collections: Collections = NoCollections()

    @property
    def actor(self) -> str:
        """Who asks, as in the audit log."""
        return self.caller.actor


class VMAction(Struct, frozen=True, kw_only=True):
    """Something that can be done with a VM: `POST /api/v1/hosts/{host}/vms/{vm}/{name}`.

    `run` gets the context, the VM as just looked up and the decoded `params`; it returns once the hypervisor
    accepted, with the `answer` if one is declared. `states` are the power states it makes sense in, None for all.
    `timeout` is seconds for the whole run. `permission` is the right it needs, `destructive` says that it may lose
    data. `needs` is an ability or another class that the host's connection must be an instance of; the action does not
    exist on other hosts. `goal` are the power states in which nothing is left to do, so that a client can ask for
    success instead of a refusal. `cancellable` says that `run` can be cancelled at any time and leaves nothing half
    done; others run to their end.

    Since 1.3: `answer` is the Struct that `run` returns and the client gets, None for nothing. `long` says that it may
    take longer than a request should wait: it is always an operation, and a request that waits for it is answered with
    202 after 20 seconds. `use` says whether others may work on the VM meanwhile; what needs it alone is always an
    operation.
    """

    name: str
    title: str
    description: str
    run: Callable[[ActionContext, VMRef, Any], Awaitable[Any]]
    params: type[Struct] = NoParams
    states: frozenset[VMState] | None = None
    permission: str = "power"
    timeout: float = 60.0
    destructive: bool = False
    needs: type | None = None
    goal: frozenset[VMState] | None = None
    cancellable: bool = False
    answer: type[Struct] | None = None
    long: bool = False
    use: VMUse = VMUse.SHARED


class HostAction(Struct, frozen=True, kw_only=True):
    """Something that can be done with a host: `POST /api/v1/hosts/{host}/{name}`; since 1.3.

    The attributes are those of a `VMAction`, as far as they make sense for a host; `run` gets no VM. It is always an
    operation, and a request that waits for it is answered with 202 after 20 seconds.
    """

    name: str
    title: str
    description: str
    run: Callable[[ActionContext, Any], Awaitable[Any]]
    params: type[Struct] = NoParams
    permission: str = "hosts"
    timeout: float = 60.0
    destructive: bool = False
    needs: type | None = None
    cancellable: bool = False
    answer: type[Struct] | None = None
    long: bool = False


class ActionOffer(Struct, frozen=True):
    """An action that a VM allows in its present state; `params` is the JSON Schema of the body it takes."""

    name: str
    title: str
    description: str
    plugin: str
    permission: str
    destructive: bool
    params: Mapping[str, Any]
