"""Two hundred VMs, twenty milliseconds away: what a listing costs on the wire."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.hosts import add_host, host_sshd, rows, ssh_uri, vms
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, Relay, plain_definition

pytestmark = pytest.mark.lab

COUNT = 200
DELAY = 0.020
ROUND_TRIP = 2 * DELAY


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    with PrivateLibvirtd(tmp_path_factory.mktemp("crowded")) as libvirtd:
        libvirtd.define(*(plain_definition(f"crowd-{number:03}", memory_mib=32 + number) for number in range(COUNT)))
        yield libvirtd


@pytest.fixture(scope="module")
def relay(crowded: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, str]]:
    """A long line to the host, and the URI of the host at its end."""
    folder = tmp_path_factory.mktemp("crowded-sshd")
    with host_sshd(folder, crowded) as sshd, Relay(sshd.port, delay=DELAY) as relay:
        known_hosts = folder / "known_hosts_of_the_relay"
        known_hosts.write_text(f"[127.0.0.1]:{relay.port} {sshd.host_public_key}\n")
        yield relay, ssh_uri(sshd, port=relay.port, known_hosts=known_hosts)


@pytest.fixture(scope="module")
def first_look(manager: Manager, relay: tuple[Relay, str]) -> Iterator[tuple[float, dict[str, object]]]:
    """Add the host and list it once: seconds from connected to listed, and the list."""
    _, uri = relay
    add_host(manager, "crowded", uri)
    began = time.monotonic()
    listed: dict[str, object] = dict(vms(manager, "/hosts/crowded"))
    duration = time.monotonic() - began
    yield duration, listed
    manager.delete("/hosts/crowded")


def test_all_are_listed_and_stored(
    manager: Manager, first_look: tuple[float, dict[str, object]], crowded: PrivateLibvirtd
) -> None:
    _, listed = first_look

    names = sorted(crowded.domains())
    assert sorted(listed) == sorted(rows(manager, "/hosts/crowded")) == names
    live = vms(manager, "/hosts/crowded")
    assert [live[name]["max_mem"] for name in names] == [(32 + number) * 1024 for number in range(COUNT)]


def test_the_first_look_takes_at_most_sixty_round_trip_times(first_look: tuple[float, dict[str, object]]) -> None:
    duration, _ = first_look

    print(f"first look: {duration / ROUND_TRIP:.0f} round-trip times")
    assert duration < 1.5 * 60 * ROUND_TRIP  # a busy machine is slower than the line


def test_the_first_look_goes_over_the_one_ssh_connection(
    first_look: tuple[float, dict[str, object]], relay: tuple[Relay, str]
) -> None:
    line, _ = relay

    assert line.traffic().connections == 1


def test_a_warm_listing_takes_at_most_six_round_trips(
    manager: Manager, first_look: tuple[float, dict[str, object]], relay: tuple[Relay, str]
) -> None:
    line, _ = relay
    counts, durations = [], []
    for _ in range(5):
        line.reset_counters()
        began = time.monotonic()
        assert len(vms(manager, "/hosts/crowded")) == COUNT
        durations.append(time.monotonic() - began)
        counts.append(line.traffic().round_trips)

    print(f"warm listing: {counts} round trips, {statistics.median(durations) * 1000:.0f} ms")
    assert statistics.median(counts) <= 6
    assert statistics.median(durations) < 2 * 6 * ROUND_TRIP


def test_concurrent_listings_share_one_fetch(
    manager: Manager, first_look: tuple[float, dict[str, object]], relay: tuple[Relay, str]
) -> None:
    line, _ = relay
    line.reset_counters()
    with ThreadPoolExecutor(10) as pool:
        lists = list(pool.map(lambda _: len(vms(manager, "/hosts/crowded")), range(10)))

    assert lists == [COUNT] * 10
    assert line.traffic().round_trips <= 10
