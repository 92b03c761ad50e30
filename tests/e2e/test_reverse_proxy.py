"""Behind nginx, configured as the documentation says."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.manager import Manager
from tests.lab import free_port
from tests.lab.processes import find_program, wait_until
from tests.lab.requirements import requires

pytestmark = pytest.mark.lab

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "run-the-server.md"
FORGED = {"X-Forwarded-For": "203.0.113.66"}
CONFIG = """
[server]
auth = "token"
trusted_proxies = ["127.0.0.1"]
"""
PASSWORD = "correct horse battery"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "manager", CONFIG) as manager:
        yield manager


@pytest.fixture
def administrator(manager: Manager) -> httpx2.Client:
    [file] = manager.folder.glob("*.admin-token")
    manager.client.headers["Authorization"] = f"Bearer {file.read_text().strip()}"
    return manager.client


class Nginx:
    """nginx on a port of its own, with this inside of its `server` block."""

    def __init__(self, folder: Path, location: str) -> None:
        requires("nginx")
        self.port = free_port()
        folder.mkdir()
        paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in paths)
        server = f"server {{ listen 127.0.0.1:{self.port}; {location} }}"
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
            f"events {{}} http {{ access_log off; {temporary} {server} }}"
        )
        self._command = [find_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self._errors = folder / "errors"

    def __enter__(self) -> httpx2.Client:
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(self._command, stdout=errors, stderr=errors)
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", trust_env=False)
        wait_until(self._answers, f"nginx: {self._errors.read_text()}", timeout=20)
        return self._client

    def __exit__(self, *error: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            return self._client.get("/health").status_code == 200
        except httpx2.TransportError:
            return False


def block(port: int) -> str:
    """The block of the page, for a server on this port."""
    found: str = re.findall(r"```nginx\n(location .*?)```", PAGE.read_text(), re.S)[0]
    assert found.count("127.0.0.1:8890") == 1
    return found.replace("127.0.0.1:8890", f"127.0.0.1:{port}")


def addresses(administrator: httpx2.Client) -> set[str]:
    """From where attempts to sign in came, as the audit log has it."""
    records = administrator.get("/audit", params={"limit": 100}).json()
    items = records["records"] if isinstance(records, dict) else records
    return {record["address"] for record in items if record["what"] == "sign in with a password"}


def test_a_client_behind_nginx_cannot_forge_its_address(
    manager: Manager, administrator: httpx2.Client, tmp_path: Path
) -> None:
    with Nginx(tmp_path / "nginx", block(manager.port)) as nginx:
        elsewhere = httpx2.HTTPTransport(local_address="127.0.0.7")
        with httpx2.Client(transport=elsewhere, base_url=nginx.base_url) as client:
            answer = client.post("/session", json={"user": "alice", "password": PASSWORD}, headers=FORGED)

    assert answer.status_code == 401
    assert addresses(administrator) == {"127.0.0.7"}
    assert "X-Forwarded-For" not in manager.log()


def test_a_proxy_that_names_no_client_is_warned_about_once(manager: Manager, tmp_path: Path) -> None:
    lines = [line for line in block(manager.port).splitlines() if "X-Forwarded-For" not in line]

    with Nginx(tmp_path / "nginx", "\n".join(lines)) as client:
        for _ in range(3):
            client.get("/hosts")

    assert manager.log().count("a trusted proxy does not say who its clients are") == 1


def test_who_is_on_the_machine_of_the_proxy_is_no_proxy_without_a_client(manager: Manager) -> None:
    manager.client.get("/hosts")

    assert "a trusted proxy" not in manager.log()
