"""The console bridge beside websockify and `ssh -W`: throughput, round trips, many sessions, memory."""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, percentile
from tests.bench.tcp_source import TOTAL
from tests.bench.ws_client import RawClient
from tests.lab import PrivateSshd, free_port

ROUNDS = 5
# Tails scatter more than medians, so there are more and shorter rounds.
ECHO_ROUNDS = 31
ECHOES = 1000
SESSIONS = 500
PATH = "/api/v1/hosts/bench/vms/vm"


def measure(folder: Path) -> Iterator[Figure]:
    """Alternate between the two bridges, with the same source, sink and client."""
    source, ours, theirs = free_port(), free_port(), free_port()
    websockify = [str(Path(sys.executable).with_name("websockify")), f"127.0.0.1:{theirs}", f"127.0.0.1:{source}"]
    with contextlib.ExitStack() as stack:
        sshd = stack.enter_context(PrivateSshd(folder / "s"))
        uri = f"qemu+ssh://root@127.0.0.1:{sshd.port}/system?keyfile={sshd.user_key}&known_hosts={sshd.known_hosts}"
        stack.enter_context(_process(source, [sys.executable, "-m", "tests.bench.tcp_source", str(source)]))
        server = stack.enter_context(
            _process(ours, [sys.executable, "-m", "tests.bench.console_server", str(ours), str(source), uri])
        )
        stack.enter_context(_process(theirs, websockify))
        _wait_for_console(ours)
        yield from _throughput(ours, theirs)
        yield from _round_trips(ours, theirs)
        yield from _through_ssh(ours, source, sshd)
        yield from _many(ours, server.pid)


def _throughput(ours: int, theirs: int) -> Iterator[Figure]:
    speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        speeds["ours"].append(_speed(RawClient(ours, f"{PATH}/direct")))
        speeds["theirs"].append(_speed(RawClient(theirs, "/")))
    yield Figure("throughput of one session", statistics.median(speeds["ours"]), "MB/s")
    yield Figure("throughput of websockify", statistics.median(speeds["theirs"]), "MB/s")
    ratio = [them / us for us, them in zip(speeds["ours"], speeds["theirs"], strict=True)]
    yield Figure("websockify's throughput to ours", statistics.median(ratio), "times", 1.0)


def _speed(client: RawClient) -> float:
    client.send(b"B")
    taken = client.swallow(TOTAL)
    client.close()
    return TOTAL / taken / 1e6


def _round_trips(ours: int, theirs: int) -> Iterator[Figure]:
    medians: dict[str, list[float]] = {"ours": [], "theirs": []}
    tails: dict[str, list[float]] = {"ours": [], "theirs": []}
    clients = {"ours": RawClient(ours, f"{PATH}/direct"), "theirs": RawClient(theirs, "/")}
    for _ in range(ECHO_ROUNDS):
        for name, client in clients.items():
            times = [client.echo(b"e1234567") for _ in range(ECHOES)]
            medians[name].append(statistics.median(times))
            tails[name].append(percentile(times, 0.99))
    for client in clients.values():
        client.close()
    yield Figure("echo round trip, p50", statistics.median(medians["ours"]) * 1e6, "µs")
    yield Figure("echo round trip of websockify, p50", statistics.median(medians["theirs"]) * 1e6, "µs")
    yield Figure("echo p50 to websockify's", _ratio(medians), "times", 1.25)
    yield Figure("echo p99 to websockify's", _ratio(tails), "times", 1.0)


def _ratio(times: dict[str, list[float]]) -> float:
    return statistics.median(us / them for us, them in zip(times["ours"], times["theirs"], strict=True))


def _through_ssh(ours: int, source: int, sshd: PrivateSshd) -> Iterator[Figure]:
    shares: list[float] = []
    bridged: list[float] = []
    for _ in range(ROUNDS):
        bridged.append(_speed(RawClient(ours, f"{PATH}/ssh")))
        shares.append(_speed_of_ssh(source, sshd) / bridged[-1])
    yield Figure("throughput of one session through SSH", statistics.median(bridged), "MB/s")
    yield Figure("ssh -W's throughput to ours", statistics.median(shares), "times", round(1 / 0.6, 2))


def _speed_of_ssh(source: int, sshd: PrivateSshd) -> float:
    command = sshd.ssh_command()
    command[-1:-1] = ["-W", f"127.0.0.1:{source}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"B")
        process.stdin.flush()
        received = len(os.read(process.stdout.fileno(), 1))
        began = time.perf_counter()
        while received < TOTAL:
            received += len(os.read(process.stdout.fileno(), 1 << 20))
        taken = time.perf_counter() - began
        process.terminate()
    return TOTAL / taken / 1e6


def _many(ours: int, pid: int) -> Iterator[Figure]:
    before = _resident(pid)
    clients = [RawClient(ours, f"{PATH}/direct") for _ in range(SESSIONS)]
    for client in clients:
        client.echo(b"e1234567")
    time.sleep(1)
    per_session = (_resident(pid) - before) / SESSIONS
    times = [client.echo(b"e1234567") for client in clients]
    for client in clients:
        client.close()
    yield Figure(f"sessions that echo, of {SESSIONS}", len(times), "")
    yield Figure(f"memory per idle session, {SESSIONS} at once", per_session, "KiB", 50)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


@contextlib.contextmanager
def _process(port: int, command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server until the block ends; it is ready once its port accepts."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for_port(port)
            yield process
        finally:
            process.terminate()


def _wait_for_port(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}")


def _wait_for_console(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(ConnectionError):
            RawClient(port, f"{PATH}/direct").close()
            return
        time.sleep(0.05)
    raise AssertionError("the host of the consoles does not connect")
