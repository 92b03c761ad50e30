"""VM actions: one record from which route, checks and documentation come."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from virtumancer.contracts.drivers import HostConnection
from virtumancer.contracts.models import Host, VMRef, VMState

__all__ = ["ActionContext", "ActionOffer", "NoParams", "VMAction"]


class NoParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of an action that takes none."""


class ActionContext(Struct, frozen=True):
    """Where an action runs."""

    host: Host
    connection: HostConnection


class VMAction(Struct, frozen=True, kw_only=True):
    """Something that can be done with a VM: `POST /api/v1/hosts/{host}/vms/{vm}/{name}`.

    `run` gets the context, the VM as just looked up and the decoded `params`; it returns once the hypervisor
    accepted. `states` are the power states it makes sense in, None for all. `timeout` is seconds for the whole run.
    `permission` is the right it needs, `destructive` says that it may lose data. `needs` is an ability or another class
    that the host's connection must be an instance of; the action does not exist on other hosts. `goal` are the power
    states in which nothing is left to do, so that a client can ask for success instead of a refusal. `cancellable` says
    that `run` can be cancelled at any time and leaves nothing half done; others run to their end.
    """

    name: str
    title: str
    description: str
    run: Callable[[ActionContext, VMRef, Any], Awaitable[None]]
    params: type[Struct] = NoParams
    states: frozenset[VMState] | None = None
    permission: str = "power"
    timeout: float = 60.0
    destructive: bool = False
    needs: type | None = None
    goal: frozenset[VMState] | None = None
    cancellable: bool = False


class ActionOffer(Struct, frozen=True):
    """An action that a VM allows in its present state; `params` is the JSON Schema of the body it takes."""

    name: str
    title: str
    description: str
    plugin: str
    permission: str
    destructive: bool
    params: Mapping[str, Any]
