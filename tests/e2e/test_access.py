"""The program that asks for tokens, as who runs it and who calls it meet it."""

import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.e2e.manager import Manager

# The Manager leaves it to the program then, and the program's default is to ask.
CONFIG = "# no auth = here\n"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "manager", CONFIG) as manager:
        yield manager


def token_file(manager: Manager) -> Path:
    return manager.folder / "virtumancer.admin-token"


def client_of(manager: Manager, token: str) -> httpx2.Client:
    return httpx2.Client(
        base_url=f"{manager.url}/api/v1", headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
    )


def test_the_program_says_where_the_token_is_and_lets_nobody_else_in(manager: Manager) -> None:
    file = token_file(manager)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in manager.log()
    assert manager.get("/health").status_code == 200
    assert manager.get("/hosts").status_code == 401
    assert manager.post("/hosts", {"id": "kvm1", "uri": "test:///default"}).status_code == 401


def test_the_line_that_is_printed_calls_the_api(manager: Manager) -> None:
    [line] = [line.strip() for line in manager.log().splitlines() if line.strip().startswith("api()")]
    script = f"{line}\napi /hosts -w ' %{{http_code}}'"

    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == "[] 200"


def test_asking_nobody_is_a_warning_at_every_start(tmp_path: Path) -> None:
    with Manager(tmp_path / "off", '[server]\nauth = "off"\n') as manager:
        manager.restart()
        assert manager.get("/hosts").status_code == 200
        assert manager.log().count("WARNING: anybody on this machine") == 2
        assert manager.log().count("nobody is asked who they are (server.auth = off)") == 2
        assert not (tmp_path / "off/virtumancer.admin-token").exists()


def test_a_token_of_one_vm_works_on_a_real_host_and_survives_a_power_cut(manager: Manager) -> None:
    with client_of(manager, token_file(manager).read_text().strip()) as admin:
        assert admin.post("/hosts", json={"id": "kvm1", "uri": "test:///default"}).status_code == 201
        [vm] = admin.get("/hosts/kvm1/vms").json()
        grants = [{"role": "operator", "host": "kvm1", "vm": vm["uuid"]}]
        token = admin.post("/tokens", json={"name": "one", "grants": grants}).json()["token"]
        manager.kill()
        manager.start()
        with client_of(manager, token) as one:
            assert [row["name"] for row in one.get("/hosts/kvm1/vms/db").json()] == ["test"]
            assert one.get("/hosts").json() == []
            assert one.get("/hosts/kvm1").status_code == 404
            for _ in range(100):  # the session begins again with the program
                stats = one.get("/hosts/kvm1/vms/test/stats")
                if stats.status_code != 503:
                    break
            assert stats.status_code == 200
            assert one.post("/hosts/kvm1/vms/test/forcereset").status_code in {204, 501, 502}
            assert one.get("/tokens").status_code == 403


def test_no_token_is_in_the_log_or_the_database(manager: Manager) -> None:
    secret = token_file(manager).read_text().strip().split("_", 2)[2]
    with client_of(manager, token_file(manager).read_text().strip()) as admin:
        admin.get("/hosts")
        admin.get("/nothing")
        made = admin.post("/tokens", json={"name": "x", "grants": [{"role": "viewer"}]}).json()["token"]
        with client_of(manager, made + "x") as wrong:
            assert wrong.get("/hosts").status_code == 401
        admin.post("/tokens", json={"name": made, "grants": 7})
    manager.terminate()

    with closing(sqlite3.connect(manager.database)) as database:
        rows = "".join(database.iterdump())
    for value in (secret, made.split("_", 2)[2]):
        assert value not in manager.log()
        assert value not in rows
    manager.start()
