"""What others do with virsh is announced at once, and stored."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import SubElement, tostring

import pytest

from tests.e2e.hosts import rows, vms
from tests.e2e.listener import REFRESH, Listener
from tests.e2e.manager import Manager
from tests.e2e.observer import dumpxml
from tests.lab import PrivateLibvirtd, firmware_guest, plain_definition

pytestmark = pytest.mark.lab

PROMPT = 0.25
TRIES = 3


@pytest.fixture
def listener(manager: Manager, kvm1: str) -> Iterator[Listener]:
    """A client that has heard of all that happened before."""
    vms(manager, kvm1)
    with Listener(manager.ws_url) as listener:
        listener.wait_for_silence()
        yield listener


def median_delay(listener: Listener, *changes: Callable[[], object]) -> float:
    """How long after each change was made its announcement came, in the middle."""
    delays = []
    for change in changes:
        listener.wait_for_silence()
        change()
        began = time.monotonic()
        listener.wait_for("refresh", timeout=5)
        delays.append(time.monotonic() - began)
    return statistics.median(delays)


def test_defining_and_undefining_is_announced_at_once(libvirtd: PrivateLibvirtd, listener: Listener) -> None:
    names = [f"defined-outside-{number}" for number in range(TRIES)]

    defined = median_delay(listener, *(lambda name=name: libvirtd.define(plain_definition(name)) for name in names))
    undefined = median_delay(listener, *(lambda name=name: libvirtd.virsh("undefine", name) for name in names))

    print(f"announced after: define {defined * 1000:.0f} ms, undefine {undefined * 1000:.0f} ms")
    assert defined < PROMPT
    assert undefined < PROMPT


def test_starting_and_destroying_is_announced_at_once(libvirtd: PrivateLibvirtd, listener: Listener) -> None:
    names = [f"started-outside-{number}" for number in range(TRIES)]
    libvirtd.define(*(firmware_guest(name, memory_mib=32) for name in names))

    started = median_delay(listener, *(lambda name=name: libvirtd.virsh("start", name) for name in names))
    destroyed = median_delay(listener, *(lambda name=name: libvirtd.destroy(name) for name in names))

    for name in names:
        libvirtd.virsh("undefine", name)
    print(f"announced after: start {started * 1000:.0f} ms, destroy {destroyed * 1000:.0f} ms")
    assert started < PROMPT
    assert destroyed < PROMPT


def test_a_changed_definition_is_announced_at_once(libvirtd: PrivateLibvirtd, listener: Listener) -> None:
    libvirtd.define(plain_definition("redefined-outside", vcpus=4))
    edited = libvirtd.virsh("dumpxml", "redefined-outside").replace(">4</vcpu>", ">2</vcpu>")

    changes = [
        lambda: libvirtd.define(edited),
        lambda: libvirtd.virsh("desc", "redefined-outside", "--config", "A new description"),
        lambda: libvirtd.virsh("domrename", "redefined-outside", "renamed-outside"),
    ]
    changed = median_delay(listener, *changes)

    libvirtd.virsh("undefine", "renamed-outside")
    print(f"announced after: changed definition {changed * 1000:.0f} ms")
    assert changed < PROMPT


def test_a_change_that_libvirt_has_no_event_for_is_announced_by_the_next_look(
    manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd, listener: Listener
) -> None:
    libvirtd.define(plain_definition("silently-changed", vcpus=4))
    listener.wait_for_silence()
    libvirtd.virsh("setvcpus", "silently-changed", "2", "--config")

    listed = vms(manager, kvm1)["silently-changed"]["vcpu"]
    listener.wait_for("refresh", timeout=2)

    libvirtd.virsh("undefine", "silently-changed")
    assert listed == 2


def test_an_announcement_is_made_in_both_dialects(libvirtd: PrivateLibvirtd, listener: Listener) -> None:
    seen = len(listener.frames)

    libvirtd.define(plain_definition("in-both-dialects"))
    listener.wait_for_silence()

    libvirtd.virsh("undefine", "in-both-dialects")
    frames = listener.frames[seen:]
    assert REFRESH in frames
    assert {"type": "vms-changed", "payload": {"hostId": "kvm1"}} in [json.loads(frame) for frame in frames]


def test_many_changes_at_once_are_announced_together(libvirtd: PrivateLibvirtd, listener: Listener) -> None:
    names = [f"together-{number}" for number in range(20)]
    seen, began = len(listener.frames), time.monotonic()

    libvirtd.define(*(plain_definition(name) for name in names))
    listener.wait_for_silence()

    duration = time.monotonic() - began
    libvirtd.virsh("; ".join(f"undefine {name}" for name in names))
    refreshes = listener.frames[seen:].count(REFRESH)
    assert 1 <= refreshes <= duration / 0.25 + 1


def test_nothing_is_said_when_nothing_changes(manager: Manager, kvm1: str, listener: Listener) -> None:
    seen = len(listener.frames)
    for _ in range(5):
        vms(manager, kvm1)

    assert listener.take(2.5) is None
    assert listener.frames[seen:] == []


def test_an_action_is_announced(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd, listener: Listener) -> None:
    libvirtd.define(firmware_guest("announced", memory_mib=32))
    listener.wait_for_silence()

    manager.post(f"{kvm1}/vms/announced/start")
    listener.wait_for("refresh", timeout=2)

    libvirtd.destroy("announced")
    libvirtd.virsh("undefine", "announced")


def test_the_rows_are_in_step_when_a_change_is_announced(
    manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd, listener: Listener
) -> None:
    libvirtd.define(plain_definition("stored-outside"))
    listener.wait_for("vms-changed")
    defined = "stored-outside" in rows(manager, kvm1)
    listener.wait_for_silence()

    libvirtd.virsh("undefine", "stored-outside")
    listener.wait_for("vms-changed")

    assert defined
    assert "stored-outside" not in rows(manager, kvm1)


def test_a_changed_definition_is_listed_and_stored(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("edited", vcpus=4, description="Before"))
    before = vms(manager, kvm1)["edited"]

    libvirtd.virsh("setvcpus", "edited", "2", "--config")
    libvirtd.virsh("desc", "edited", "--config", "After")
    after = vms(manager, kvm1)["edited"]
    stored = json.loads(rows(manager, kvm1)["edited"]["config_json"])

    libvirtd.virsh("undefine", "edited")
    assert (before["vcpu"], before["description"]) == (4, "Before")
    assert (after["vcpu"], after["description"]) == (2, "After")
    assert (stored["vcpu"], stored["description"]) == (2, "After")


def test_added_graphics_are_listed(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("screened"))
    before = vms(manager, kvm1)["screened"]["graphics"]
    xml = dumpxml(libvirtd, "screened")
    devices = xml.find("devices")
    assert devices is not None
    SubElement(devices, "graphics", type="vnc", autoport="yes")

    libvirtd.define(tostring(xml, encoding="unicode"))
    after = vms(manager, kvm1)["screened"]["graphics"]

    libvirtd.virsh("undefine", "screened")
    assert (before, after) == ({"vnc": False, "spice": False}, {"vnc": True, "spice": False})


def test_autostart_which_has_no_event_is_listed(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("starts-with-the-host"))
    flags = [vms(manager, kvm1)["starts-with-the-host"]["autostart"]]
    for option in ([], ["--disable"]):
        libvirtd.virsh("autostart", "starts-with-the-host", *option)
        flags.append(vms(manager, kvm1)["starts-with-the-host"]["autostart"])

    libvirtd.virsh("undefine", "starts-with-the-host")
    assert flags == [False, True, False]


def test_a_transient_vm_is_not_persistent(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd) -> None:
    file = libvirtd.folder / "transient.xml"
    file.write_text(firmware_guest("transient", memory_mib=32))
    libvirtd.virsh("create", str(file))

    persistent = vms(manager, kvm1)["transient"]["persistent"]
    libvirtd.destroy("transient")

    assert persistent is False
    assert "transient" not in vms(manager, kvm1)


def test_a_renamed_vm_keeps_its_row(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("maiden-name"))
    vms(manager, kvm1)
    before = rows(manager, kvm1)["maiden-name"]

    libvirtd.virsh("domrename", "maiden-name", "married-name")
    live = vms(manager, kvm1)
    after = rows(manager, kvm1)

    libvirtd.virsh("undefine", "married-name")
    assert "maiden-name" not in live
    assert "maiden-name" not in after
    assert (after["married-name"]["ID"], after["married-name"]["CreatedAt"]) == (before["ID"], before["CreatedAt"])
    assert live["married-name"]["db_id"] == before["ID"]


def test_a_vm_defined_again_under_the_same_name_is_another_one(
    manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd
) -> None:
    libvirtd.define(plain_definition("phoenix"))
    first = vms(manager, kvm1)["phoenix"]
    libvirtd.virsh("undefine", "phoenix")

    libvirtd.define(plain_definition("phoenix", memory_mib=32))
    second = vms(manager, kvm1)["phoenix"]
    stored = rows(manager, kvm1)["phoenix"]

    libvirtd.virsh("undefine", "phoenix")
    assert first["uuid"] != second["uuid"]
    assert (second["max_mem"], stored["ID"]) == (32 * 1024, second["db_id"])


def test_names_swapped_between_two_vms_are_stored(manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("swap-a"), plain_definition("swap-b"))
    before = vms(manager, kvm1)
    for old, new in (("swap-a", "swap-c"), ("swap-b", "swap-a"), ("swap-c", "swap-b")):
        libvirtd.virsh("domrename", old, new)

    vms(manager, kvm1)
    after = rows(manager, kvm1)

    libvirtd.virsh("undefine swap-a; undefine swap-b")
    assert [after[name]["ID"] for name in ("swap-a", "swap-b")] == [
        before[name]["db_id"] for name in ("swap-b", "swap-a")
    ]


def test_a_subscriber_gets_the_counters_of_its_vm_every_two_seconds(
    manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd, listener: Listener
) -> None:
    libvirtd.define(firmware_guest("watched", memory_mib=32))
    libvirtd.virsh("start", "watched")
    subject = {"hostId": "kvm1", "vmName": "watched"}
    listener.wait_for_silence()
    listener.say("subscribe-vm-stats", subject)
    first = listener.wait_for("vm-stats-updated", timeout=3)
    began = time.monotonic()
    second = listener.wait_for("vm-stats-updated", timeout=4)
    pause = time.monotonic() - began
    listener.say("unsubscribe-vm-stats", subject)
    libvirtd.destroy("watched")
    libvirtd.virsh("undefine", "watched")
    listener.wait_for_silence(2.5)

    stats = second["payload"].pop("stats")
    assert second["payload"] == subject
    assert 1.5 < pause < 3
    assert (stats["state"], stats["max_mem"]) == (1, 32 * 1024)
    assert stats["cpu_time"] >= first["payload"]["stats"]["cpu_time"] > 0
    assert "vm-stats-updated" not in listener.frames[-1]


def test_each_change_is_announced_once_and_what_was_refused_is_not(
    manager: Manager, kvm1: str, libvirtd: PrivateLibvirtd, listener: Listener
) -> None:
    libvirtd.define(firmware_guest("once", memory_mib=32))
    listener.wait_for_silence()
    vm = f"{kvm1}/vms/once"
    counts: dict[str, int] = {}

    def announced(what: str, change: Callable[[], object]) -> None:
        seen = len(listener.frames)
        change()
        listener.wait_for_silence()
        counts[what] = listener.frames[seen:].count(REFRESH)

    for action in ("start", "start", "reboot", "forcereset", "forceoff", "forceoff"):
        announced(f"{len(counts)} {action}", partial(manager.post, f"{vm}/{action}"))
    for command in ("start", "reset", "suspend", "resume", "destroy"):
        announced(f"{len(counts)} virsh {command}", partial(libvirtd.virsh, command, "once"))

    libvirtd.define(firmware_guest("refused", disks=[Path("/nowhere/disk.raw")]))
    listener.wait_for_silence()
    announced("11 refused start", partial(manager.post, f"{kvm1}/vms/refused/start"))

    libvirtd.virsh("undefine once; undefine refused")
    assert counts == {
        "0 start": 1,
        "1 start": 0,
        "2 reboot": 1,
        "3 forcereset": 1,
        "4 forceoff": 1,
        "5 forceoff": 0,
        "6 virsh start": 1,
        "7 virsh reset": 0,
        "8 virsh suspend": 1,
        "9 virsh resume": 1,
        "10 virsh destroy": 1,
        "11 refused start": 0,
    }
