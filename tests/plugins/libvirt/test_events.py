"""Events on their way from libvirt's thread to a listener."""

import asyncio
import threading

import pytest

from virtumancer.contracts import EventsMissed, VMChange, VMEvent
from virtumancer_libvirt.binding.api import libvirt
from virtumancer_libvirt.binding.events import EVENT_KINDS, EventHub, Mailbox, RawEvent, change_of

LIFECYCLE = [
    (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_ADDED, VMChange.DEFINED),
    (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_UPDATED, VMChange.CHANGED),
    (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_RENAMED, VMChange.DEFINED),
    (libvirt.VIR_DOMAIN_EVENT_UNDEFINED, 0, VMChange.UNDEFINED),
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED, VMChange.STARTED),
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_WAKEUP, VMChange.RESUMED),
    (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, 0, VMChange.SUSPENDED),
    (libvirt.VIR_DOMAIN_EVENT_RESUMED, 0, VMChange.RESUMED),
    (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED, VMChange.STOPPED),
    (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, VMChange.CRASHED),
    (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED, VMChange.CRASHED),
    (libvirt.VIR_DOMAIN_EVENT_SHUTDOWN, 0, VMChange.CHANGED),
    (libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED, 0, VMChange.SUSPENDED),
    (libvirt.VIR_DOMAIN_EVENT_CRASHED, 0, VMChange.CRASHED),
    (99, 0, VMChange.CHANGED),
]


@pytest.mark.parametrize(("event", "detail", "change"), LIFECYCLE)
def test_every_life_cycle_event_has_a_meaning(event: int, detail: int, change: VMChange) -> None:
    assert change_of(RawEvent(EVENT_KINDS[0], "u", "web01", (event, detail))) is change


def test_a_reboot_is_a_reboot() -> None:
    assert change_of(RawEvent(libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, "u", "web01", ())) is VMChange.REBOOTED


def test_a_new_device_is_a_change() -> None:
    assert change_of(RawEvent(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, "u", "web01", ("net0",))) is VMChange.CHANGED


def event(number: int) -> VMEvent:
    return VMEvent(uuid=str(number), name=f"vm{number}", change=VMChange.CHANGED)


async def test_events_come_in_order_and_end_with_the_connection() -> None:
    hub = EventHub()
    stream = hub.subscribe()
    for number in range(3):
        hub.publish(event(number))
    hub.close()
    assert [heard async for heard in stream] == [event(0), event(1), event(2)]


async def test_a_waiting_listener_is_woken() -> None:
    hub = EventHub()
    first = asyncio.create_task(anext(aiter(hub.subscribe())))
    await asyncio.sleep(0.01)
    hub.publish(event(1))
    assert await asyncio.wait_for(first, 1) == event(1)


async def test_a_slow_listener_hears_once_that_it_missed_events() -> None:
    hub = EventHub(limit=4)
    stream = hub.subscribe()
    for number in range(10):
        hub.publish(event(number))
    hub.close()
    heard = [item async for item in stream]
    assert [type(item) for item in heard].count(EventsMissed) == 1
    assert heard[-1] == event(9)
    assert len(heard) <= 4 + 1


async def test_a_slow_listener_does_not_harm_another() -> None:
    hub = EventHub(limit=4)
    hub.subscribe()
    quick = aiter(hub.subscribe())
    for number in range(10):
        hub.publish(event(number))
        assert await anext(quick) == event(number)


async def test_a_closed_stream_ends() -> None:
    hub = EventHub()
    stream = hub.subscribe()
    await stream.aclose()
    hub.publish(event(1))
    assert [item async for item in stream] == []


async def test_a_stream_opened_after_the_end_is_empty() -> None:
    hub = EventHub()
    hub.close()
    assert [item async for item in hub.subscribe()] == []


async def test_events_of_another_thread_arrive_in_order() -> None:
    heard: list[RawEvent] = []
    mailbox = Mailbox(heard.append, lambda: None)
    thread = threading.Thread(target=lambda: [mailbox.post(0, str(number), "vm", ()) for number in range(100)])
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0.05)
    assert [raw.uuid for raw in heard] == [str(number) for number in range(100)]


async def test_more_events_than_can_wait_are_dropped_and_said_so() -> None:
    heard: list[RawEvent] = []
    overflows: list[bool] = []
    mailbox = Mailbox(heard.append, lambda: overflows.append(True), limit=10)
    for number in range(25):
        mailbox.post(0, str(number), "vm", ())
    await asyncio.sleep(0.05)
    assert overflows == [True]
    assert heard[-1].uuid == "24"
    assert len(heard) <= 10


def test_an_event_after_the_end_of_the_event_loop_is_survived() -> None:
    async def make() -> Mailbox:
        return Mailbox(lambda _raw: None, lambda: None)

    asyncio.run(make()).post(0, "u", "vm", ())
