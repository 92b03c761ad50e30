"""Event listeners of plugins: told everything, in order, and nobody else's trouble."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import httpx2

from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    Event,
    EventListener,
    EventsMissed,
    HostRemoved,
    HostState,
    HostStateChanged,
    HostVMEvent,
    VMChange,
    VMsChanged,
)
from virtumancer.plugins import load_plugins
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.services.events.dispatcher import ListenerDispatcher
from virtumancer.services.runtime.bus import LocalEventBus
from virtumancer.testing import FakeHypervisor, fake_plugin


class Recorder(EventListener):
    name = "recorder"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.more = asyncio.Condition()

    async def on_event(self, event: Event) -> None:
        async with self.more:
            self.events.append(event)
            self.more.notify_all()

    async def heard(self, wanted: object) -> None:
        async with asyncio.timeout(5), self.more:
            await self.more.wait_for(lambda: wanted in self.events)


class Hanging(EventListener):
    name = "hanging"
    timeout = 0.05

    async def on_event(self, event: Event) -> None:
        await asyncio.get_running_loop().create_future()


class Slow(Recorder):
    name = "slow"

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def on_event(self, event: Event) -> None:
        await self.gate.wait()
        await super().on_event(event)


@asynccontextmanager
async def listened(
    tmp_path: Path, hypervisor: FakeHypervisor, *listeners: EventListener
) -> AsyncIterator[httpx2.AsyncClient]:
    @hookimpl
    def virtumancer_event_listeners() -> list[EventListener]:
        return list(listeners)

    plugin = ModuleType("ears")
    plugin.__dict__["virtumancer_event_listeners"] = virtumancer_event_listeners
    config = load_config(
        None, {"HOME": str(tmp_path)}, {"database.url": f"sqlite://{tmp_path}/virtumancer.db", "server.auth": "off"}
    )
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(hypervisor), "ears": plugin})
    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            (await client.post("/hosts", json={"id": "kvm1", "uri": hypervisor.uri})).raise_for_status()
            yield client


async def test_a_listener_is_told_of_hosts_and_vms_in_order(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    recorder = Recorder()
    async with listened(tmp_path, kvm1, recorder) as client:
        vm = kvm1.define("web01")
        await recorder.heard(HostVMEvent("kvm1", vm.uuid, "web01", VMChange.DEFINED))
        await client.post("/hosts/kvm1/vms/web01/start")
        await recorder.heard(HostVMEvent("kvm1", vm.uuid, "web01", VMChange.STARTED))
        await recorder.heard(VMsChanged("kvm1", (vm.uuid,)))
        await client.delete("/hosts/kvm1")
        await recorder.heard(HostRemoved("kvm1"))

    states = [event.state for event in recorder.events if isinstance(event, HostStateChanged)]
    assert states[:2] == [HostState.CONNECTING, HostState.CONNECTED]
    changes = [event.change for event in recorder.events if isinstance(event, HostVMEvent)]
    assert changes == [VMChange.DEFINED, VMChange.STARTED]


async def test_one_that_hangs_delays_nobody_and_is_named(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    recorder = Recorder()
    async with listened(tmp_path, kvm1, Hanging(), recorder) as client:
        vm = kvm1.define("web01")
        await recorder.heard(HostVMEvent("kvm1", vm.uuid, "web01", VMChange.DEFINED))
        async with asyncio.timeout(10):
            while (plugin := (await client.get("/plugins/ears")).json())["state"] != "degraded":
                kvm1.change(vm.uuid)
                await asyncio.sleep(0.02)

    assert "hanging on host 'kvm1' failed 5 times in a row" in plugin["reason"]
    [hanging] = [call for call in plugin["calls"] if call["name"] == "hanging"]
    assert hanging["failures"] >= 5


async def test_one_that_is_too_slow_is_told_that_it_missed_events() -> None:
    slow, recorder = Slow(), Recorder()
    bus, listeners = LocalEventBus(), {"slow": ("ears", slow), "recorder": ("ears", recorder)}
    async with ListenerDispatcher(listeners, bus, PluginCaller(()), limit=5):
        for number in range(20):
            event = HostVMEvent("kvm1", f"uuid-{number}", f"vm{number}", VMChange.DEFINED)
            bus.publish(event)
            await recorder.heard(event)
        slow.gate.set()
        await slow.heard(event)

    missed = [event for event in slow.events if isinstance(event, EventsMissed)]
    assert len(missed) == 1
    assert missed[0].reason.endswith("events could not be told")
    assert slow.events.index(missed[0]) == 1, "it stands where the events were"


async def test_what_is_left_is_told_before_the_server_ends(tmp_path: Path, kvm1: FakeHypervisor) -> None:
    recorder = Recorder()
    async with listened(tmp_path, kvm1, recorder):
        pass

    assert HostStateChanged("kvm1", HostState.STOPPED, "virtumancer is shutting down") in recorder.events
