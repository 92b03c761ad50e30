"""A resource of another kind, as a third party writes it: one for each VM, with actions that answer."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
from msgspec import Struct

from virtumancer import hookimpl
from virtumancer.contracts import (
    VMS,
    Collection,
    Job,
    ResourceAction,
    ResourceContext,
    ResourceType,
    Rights,
    VMState,
)
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.suites import ResourceSuite

RUNNING = frozenset({VMState.RUNNING})


class Guest(Struct, frozen=True):
    """What runs in a VM."""

    frozen: bool = False


class Command(Struct, frozen=True, forbid_unknown_fields=True):
    arguments: tuple[str, ...]


class Outcome(Struct, frozen=True):
    status: int
    output: str = ""


class Guests(Collection[Guest]):
    ability = "guest"

    def __init__(self) -> None:
        self.frozen: set[str] = set()

    async def get(self, at: ResourceContext, key: str) -> Guest:
        assert at.vm
        return Guest(at.vm.uuid in self.frozen)

    async def freeze(self, at: ResourceContext, key: str, job: Job) -> Guest:
        assert at.vm
        self.frozen.add(at.vm.uuid)
        return await self.get(at, key)

    async def exec(self, at: ResourceContext, key: str, params: Command, job: Job) -> Outcome:
        return Outcome(0, " ".join(params.arguments))


GUEST = ResourceType(
    name="guest",
    singular="guest",
    title="Guest",
    parent=VMS,
    item=Guest,
    singleton=True,
    served_by=Guests,
    rights=Rights(write="guest", verbs={"exec": "guest-exec"}, roles={"guest": ("operator",), "guest-exec": ()}),
    states={"get": RUNNING},
    actions=(
        ResourceAction(name="freeze", title="Write nothing any more", answer=Guest, states=RUNNING),
        ResourceAction(
            name="exec", title="Run a command", params=Command, answer=Outcome, states=RUNNING, destructive=True
        ),
    ),
)


class TestGuest(ResourceSuite):
    @pytest.fixture
    def resource(self) -> ResourceType[Any, Any, Any]:
        return GUEST

    @pytest.fixture
    def collection(self) -> Collection[Any]:
        return Guests()

    @pytest.fixture
    def params(self) -> Mapping[str, Any]:
        return {"exec": Command(("ls", "-l"))}


@pytest.fixture
def virtumancer_plugins(virtumancer_hypervisor: FakeHypervisor) -> Mapping[str, ModuleType]:
    virtumancer_hypervisor.abilities.append(Guests())
    plugin = ModuleType("guested")
    plugin.__dict__["virtumancer_resources"] = hookimpl(lambda: [GUEST])
    return {"guested": plugin}


async def test_it_is_at_the_path_of_its_type_and_its_actions_answer(virtumancer_client: Any) -> None:
    guest = "/api/v1/hosts/kvm1/vms/web01/guest"
    assert (await virtumancer_client.get(guest)).json == {"frozen": False}
    assert (await virtumancer_client.post(f"{guest}/freeze")).json == {"frozen": True}
    assert (await virtumancer_client.get(guest)).json == {"frozen": True}
    ran = await virtumancer_client.post(f"{guest}/exec", json={"arguments": ["ls", "-l"]})
    assert ran.json == {"status": 0, "output": "ls -l"}
    assert (await virtumancer_client.post(f"{guest}/exec", json={"arguments": "ls"})).status_code == 422


async def test_a_vm_that_is_off_has_no_guest(virtumancer_client: Any) -> None:
    off = "/api/v1/hosts/kvm1/vms/db01/guest"
    for method, path in (("POST", f"{off}/freeze"), ("GET", off)):
        answer = await virtumancer_client.simulate_request(method, path)
        assert (answer.status_code, answer.json["code"]) == (409, "wrong-power-state"), path
