"""An OpenID provider in a process of its own, and a browser's part of signing in there."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

import httpx2

from .processes import free_port, tail, wait_until

PROGRAM = Path(__file__).with_name("openid_server.py")
ALICE = {"sub": "5f-alice", "preferred_username": "alice", "groups": ["vm-admins", "staff"]}
BOB = {"sub": "77-bob", "preferred_username": "bob", "groups": ["vm-viewers"]}
MALLORY = {"sub": "66-mallory", "preferred_username": "mallory", "groups": ["guests"]}
PEOPLE = {person["preferred_username"]: person for person in (ALICE, BOB, MALLORY)}


class OpenIDProvider:
    """Starts and ends it; the password of each of its people is `password of NAME`."""

    def __init__(self, folder: Path, client_id: str = "virtumancer", client_secret: str = "s3cret:/+ of ours") -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.client_id = client_id
        self.client_secret = client_secret
        self._log = folder / "openid.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx2.Client(trust_env=False, timeout=10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._client.close()

    def start(self) -> None:
        command = [sys.executable, str(PROGRAM), str(self.port), self.client_id, self.client_secret]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "the OpenID provider answers", 20.0)
        self.set()

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def set(self, *, people: dict[str, Any] = PEOPLE, rotate: bool = False, **faults: Any) -> None:
        """Say who its people are and what goes wrong from now on."""
        wanted = {"people": people, "faults": faults, "rotate": rotate}
        self._client.put(f"{self.issuer}/control", json=wanted).raise_for_status()

    def seen(self) -> list[str]:
        """What it was asked for since the last `set`."""
        return list(self._client.get(f"{self.issuer}/control").json()["seen"])

    def settings(self, secret_file: Path) -> dict[str, Any]:
        """Configuration of a server that people sign in to here, but for its own address."""
        secret_file.write_text(self.client_secret)
        return {
            "oidc.issuer": self.issuer,
            "oidc.client_id": self.client_id,
            "oidc.client_secret": f"file:{secret_file}" if self.client_secret else "",
            "oidc.roles": {"vm-admins": [{"role": "admin"}], "vm-viewers": [{"role": "viewer", "host": "a"}]},
            "oidc.timeout": 1.0,
        }

    def log_in(self, url: str, user: str, *, deny: bool = False) -> str:
        """Fill in the form that a browser was sent to; returns where it is sent next."""
        form = {"user": user, "password": f"password of {user}"} | ({"deny": "1"} if deny else {})
        page = self._client.get(url)
        assert page.status_code == 200, page.text
        answer = self._client.post(url, data=form)
        assert answer.status_code == 302, answer.text
        return urljoin(url, answer.headers["location"])

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, tail(self._log)
        try:
            return self._client.get(f"{self.issuer}/control").status_code == 200
        except httpx2.TransportError:
            return False
