"""A provider that somebody else wrote, in a process of its own: what ours and we may both have misunderstood."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from tests.http.oidc.kit import OIDCWorld
from tests.lab import free_port, wait_until
from tests.lab.requirements import skip

ALICE = {"sub": "alice", "name": "Alice A", "groups": ["vm-admins"]}


class OtherProvider:
    """`oidc-provider-mock`: it wants a nonce, and checks PKCE as Authlib does."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.issuer = f"http://127.0.0.1:{port}"
        self._client = httpx2.Client(trust_env=False, timeout=10)
        program = str(Path(sys.executable).with_name("oidc-provider-mock"))
        people = ["--user-claims", json.dumps(ALICE), "--user", "bob"]
        with (folder / "provider.log").open("wb") as log:
            command = [program, "--port", str(port), "--require-nonce", "true", *people]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "the provider answers", 20.0)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._client.close()

    def settings(self, secret_file: Path) -> dict[str, Any]:
        secret_file.write_text("any secret will do")
        return {
            "oidc.issuer": self.issuer,
            "oidc.client_id": "virtumancer",
            "oidc.client_secret": f"file:{secret_file}",
            "oidc.roles": {"vm-admins": [{"role": "admin"}]},
            "oidc.name_claim": "name",
        }

    def log_in(self, url: str, user: str, *, deny: bool = False) -> str:
        assert not deny
        assert self._client.get(url).status_code == 200
        answer = self._client.post(url, data={"sub": user})
        return urljoin(url, answer.headers["location"])

    def _answers(self) -> bool:
        try:
            return self._client.get(f"{self.issuer}/.well-known/openid-configuration").is_success
        except httpx2.TransportError:
            return False


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[OtherProvider]:
    if find_spec("oidc_provider_mock") is None:  # to import it would warn of what it has yet to give up
        skip("oidc-provider-mock is not installed")
    provider = OtherProvider(tmp_path)
    yield provider
    provider.stop()


async def test_people_sign_in_at_a_provider_that_somebody_else_wrote(tmp_path: Path, provider: Any) -> None:
    async with OIDCWorld(tmp_path, provider) as world:
        alice, bob = world.browser(), world.browser()

        assert await alice.sign_in("alice") == "/sign-in/"
        assert await bob.sign_in("bob") == "/sign-in/?problem=no-rights"

        assert (await alice.get("me")).json()["actor"] == "oidc Alice A (alice)"


async def test_a_code_without_the_verifier_of_its_attempt_is_refused(tmp_path: Path, provider: Any) -> None:
    async with OIDCWorld(tmp_path, provider) as world:
        theirs, ours = world.browser(), world.browser()
        stolen = theirs.log_in(await theirs.start(), "alice").partition("code=")[2].partition("&")[0]
        back = ours.log_in(await ours.start(), "bob")
        code = back.partition("code=")[2].partition("&")[0]

        assert (await ours.finish(back.replace(code, stolen))).headers["location"] == "/sign-in/?problem=refused"
