"""The fixtures for authors: an application with their plugin in it, a client, and the events."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from tests.core.plugin_kit import plugin
from virtumancer.app import Application
from virtumancer.contracts import (
    HostState,
    HostStateChanged,
    HostVMEvent,
    PluginConfig,
    Route,
    RouteRequest,
    VMAction,
    VMChange,
)
from virtumancer.testing import FakeHypervisor


class Greeting(PluginConfig, frozen=True):
    word: str = "hello"


@pytest.fixture
def virtumancer_plugins() -> Mapping[str, ModuleType]:
    def virtumancer_routes(config: Greeting) -> list[Route]:
        async def greet(request: RouteRequest) -> dict[str, Any]:
            return {config.word: list(request.hosts.ids())}

        return [Route(method="GET", path="greeting", summary="Greet.", handle=greet, answer=dict)]

    def virtumancer_vm_actions() -> list[VMAction]:
        async def run(context: Any, vm: Any, params: Any) -> None:
            """Nothing."""

        return [VMAction(name="wave", title="Wave", description="Waves.", run=run)]

    return {
        "mine": plugin(
            virtumancer_config=lambda: Greeting,
            virtumancer_routes=virtumancer_routes,
            virtumancer_vm_actions=virtumancer_vm_actions,
        )
    }


@pytest.fixture
def virtumancer_tables() -> Mapping[str, Mapping[str, Any]]:
    return {"mine": {"word": "ahoy"}}


async def test_a_plugin_under_test_is_seen_over_http(virtumancer_client: Any) -> None:
    greeted = await virtumancer_client.get("/api/v1/plugins/mine/greeting")
    waved = await virtumancer_client.post("/api/v1/hosts/kvm1/vms/web01/wave")

    assert greeted.json == {"ahoy": ["kvm1"]}
    assert waved.status_code == 204


async def test_events_can_be_waited_for(
    virtumancer_app: Application, virtumancer_events: Any, virtumancer_hypervisor: FakeHypervisor
) -> None:
    vm = virtumancer_hypervisor.define("new01")

    event = await virtumancer_events.next(HostVMEvent)

    assert event == HostVMEvent("kvm1", vm.uuid, "new01", VMChange.DEFINED)
    assert event in virtumancer_events.all
    assert HostStateChanged("kvm1", HostState.CONNECTED, "connected") in virtumancer_events.all
    with pytest.raises(TimeoutError):
        await virtumancer_events.next(HostVMEvent, timeout=0.05)
