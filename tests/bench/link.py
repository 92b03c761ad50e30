"""A host over SSH: what looks at 200 VMs cost in round trips 20 ms away, and what replies of each size take nearby."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from tests.bench.figures import Figure
from tests.bench.replies import replies
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, PrivateSshd, Relay, plain_definition

DELAY = 0.020
VMS = 200
FIRST_LOOKS = 3
LOOKS = 11


def measure(folder: Path) -> Iterator[Figure]:
    """Measure through the lab's delaying relay in front of a real sshd."""
    with (
        PrivateLibvirtd(folder / "v") as libvirtd,
        PrivateSshd(folder / "s", libvirtd) as sshd,
        Relay(sshd.port, DELAY) as relay,
        Manager(folder / "m", "[ssh]\nunknown_host_keys = 'accept-new'\n") as manager,
    ):
        yield from replies(folder, sshd)
        libvirtd.define(*(plain_definition(f"vm{number}") for number in range(VMS)))
        uri = f"qemu+ssh://root@127.0.0.1:{relay.port}/system?keyfile={sshd.user_key}"
        first = [_first_look(manager, relay, uri) for _ in range(FIRST_LOOKS)]
        yield from _figures("the first look after connecting", first, 60)
        assert manager.post("/hosts", {"id": "far", "uri": uri}).status_code == 201
        manager.get("/hosts/far/vms")
        yield from _figures(f"GET …/vms with {VMS} VMs", [_look(manager, relay) for _ in range(LOOKS)], 5)


def _first_look(manager: Manager, relay: Relay, uri: str) -> tuple[float, int]:
    answer = manager.post("/hosts", {"id": "far", "uri": uri})
    assert answer.status_code == 201, answer.text
    look = _look(manager, relay)
    assert manager.delete("/hosts/far").status_code == 204
    return look


def _look(manager: Manager, relay: Relay) -> tuple[float, int]:
    relay.reset_counters()
    began = perf_counter()
    vms = manager.get("/hosts/far/vms").json()
    taken = perf_counter() - began
    assert len(vms) == VMS
    return taken, relay.traffic().round_trips


def _figures(what: str, looks: list[tuple[float, int]], limit: float) -> Iterator[Figure]:
    round_trip = 2 * DELAY
    taken = statistics.median(seconds for seconds, _ in looks)
    yield Figure(f"{what}, 20 ms each way", taken / round_trip, "RTT", limit, f"{taken * 1000:.0f} ms")
    yield Figure(f"{what}, turns of traffic on the wire", statistics.median(turns for _, turns in looks), "")
