"""The server while its database is locked, full or not up yet: it says so, waits, and ends when it is told to."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from tests.e2e.manager import PROGRAM, Manager
from tests.lab import PrivatePostgres, find_program, free_port, wait_until
from tests.lab.outsider import Outsider
from tests.lab.requirements import requires
from virtumancer.client import Client, Retries

pytestmark = pytest.mark.lab

HOST = {"id": "kvm1", "uri": "test:///default"}
SHORT = "[server]\nshutdown_timeout = 1\n"
# What is left of the time for stopping, once shutdown_timeout is over.
FAREWELL = 8.0
MARGIN = 20.0
PIPE_OF_ONE_PAGE = 4096


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    folder.mkdir()
    size = f"size={megabytes}m"
    subprocess.run([find_program("mount"), "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True, timeout=20)
    try:
        yield folder
    finally:
        subprocess.run([find_program("umount"), "--lazy", folder], check=True, timeout=20)


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as opened, suppress(OSError):
        while True:
            opened.write(b"\0" * 4096)


def store(manager: Manager) -> tuple[int, str]:
    """Whether the server is ready, and what is wrong with its store."""
    answer = manager.get(f"{manager.url}/readyz")
    [part] = [part for part in answer.json()["parts"] if part["name"] == "store"]
    return answer.status_code, part["reason"]


def test_a_full_disk_is_not_ready_and_nothing_is_lost_by_it(tmp_path: Path) -> None:
    requires("mount", "umount")
    with small_disk(tmp_path / "disk", 8) as disk:
        manager = Manager(tmp_path / "manager")
        manager.database = disk / "virtumancer.db"
        with manager:
            assert manager.post("/hosts", HOST).status_code == 201
            assert store(manager) == (200, "")
            fill(disk / "filler")
            wait_until(lambda: store(manager)[0] == 503, timeout=20, what="the full disk is seen")
            assert "full" in store(manager)[1]
            refused = manager.post("/hosts", {"id": "kvm2", "uri": "test:///default"})
            assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
            assert int(refused.headers["Retry-After"]) > 0
            (disk / "filler").unlink()
            wait_until(lambda: store(manager)[0] == 200, timeout=20, what="the free disk is seen")
            assert manager.post("/hosts", {"id": "kvm3", "uri": "test:///default"}).status_code == 201
            manager.restart()
            assert [host["id"] for host in manager.get("/hosts").json()] == ["kvm1", "kvm3"]


def test_a_signal_ends_it_while_another_process_locks_the_database(tmp_path: Path) -> None:
    with Manager(tmp_path / "manager", SHORT) as manager, Outsider(manager.database) as outsider:
        outsider.lock()
        with suppress(httpx2.TransportError):  # an answer is not waited for
            manager.client.post("/hosts", json=HOST, timeout=0.5)
        print(f"ended after {manager.terminate(within=1 + FAREWELL + MARGIN):.1f} s")
        outsider.unlock()
        manager.start()


def test_a_signal_ends_it_even_if_its_log_is_read_by_nobody(tmp_path: Path) -> None:
    """The event loop itself hangs then, in the middle of a line."""
    config = f'{SHORT}[log]\nlevel = "info"\n'
    manager = Manager(tmp_path, config)
    (tmp_path / "virtumancer.toml").write_text(config)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_OF_ONE_PAGE)
    process = subprocess.Popen(
        manager.command(), stdout=subprocess.DEVNULL, stderr=writing, cwd=tmp_path, env=manager.environment()
    )
    try:
        wait_until(lambda: answers(f"{manager.url}/livez") == 200, timeout=20, what="the server answers")
        with suppress(httpx2.TransportError):
            while process.poll() is None:  # until its log takes no line more
                httpx2.post(f"{manager.url}/api/v1/hosts", json={}, timeout=2.0, trust_env=False)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(1 + FAREWELL + MARGIN) == -signal.SIGALRM
        assert time.monotonic() - began < 1 + FAREWELL + MARGIN
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        os.close(writing)
        manager.client.close()


def answers(url: str) -> int | None:
    """The status of an answer; None when there is none."""
    try:
        return httpx2.get(url, timeout=5.0, trust_env=False).status_code
    except httpx2.TransportError:
        return None


@contextmanager
def serving(folder: Path, url: str) -> Iterator[Manager]:
    """The program on a PostgreSQL server that is not there yet; it has to wait for it, and to end in order."""
    manager = Manager(folder)
    command = [str(PROGRAM), "serve", "--port", str(manager.port), "--database", url, "--auth", "off"]
    with manager.log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=manager.environment())
    try:
        wait_until(lambda: answers(f"{manager.url}/livez") == 200, timeout=20, what="the server answers")
        yield manager
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, manager.log()
        manager.assert_calm()
        assert "geheim" not in manager.log()
    finally:
        process.kill()
        process.wait()
        manager.client.close()


def test_a_database_that_is_not_up_yet_is_waited_for_by_the_server_and_by_our_client(tmp_path: Path) -> None:
    with PrivatePostgres(tmp_path / "own") as server:
        server.stop()
        url = f"postgresql://{server.user}:geheim@{server.host}:{server.port}/{server.database}"
        patient = Retries(attempts=30, patience=60)
        with serving(tmp_path, url) as manager, Client(manager.url, retries=patient) as client:
            assert store(manager)[0] == 503
            early = manager.get("/hosts")
            assert (early.status_code, early.json()["code"]) == (503, "store-unavailable")
            assert int(early.headers["Retry-After"]) > 0
            server.start()
            assert client.hosts.list() == ()
            assert store(manager) == (200, "")
            assert "the database is there" in manager.log()


def test_a_signal_ends_it_while_it_waits_for_its_database(tmp_path: Path) -> None:
    with serving(tmp_path, f"postgresql://me:geheim@127.0.0.1:{free_port()}/virtu") as manager:
        assert "the database is waited for" in manager.log()


def test_a_database_that_is_not_on_its_server_is_a_mistake_of_the_user(
    tmp_path: Path, postgres: PrivatePostgres
) -> None:
    url = f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/nowhere"
    ended = run(tmp_path, "serve", "--port", str(free_port()), url=url)
    assert (ended.returncode, "nowhere" in ended.stderr) == (2, True), ended.stderr


def test_a_command_whose_database_is_down_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    ended = run(tmp_path, "audit", "verify", url=f"postgresql://me:geheim@127.0.0.1:{free_port()}/virtu")
    assert ended.returncode == os.EX_TEMPFAIL
    assert ended.stderr.startswith("virtumancer: The PostgreSQL database me@127.0.0.1")
    assert "geheim" not in ended.stderr


def run(folder: Path, *arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    env = Manager(folder, env={"VIRTUMANCER_DATABASE_URL": url}).environment()
    return subprocess.run(
        [PROGRAM, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=30, check=False
    )
