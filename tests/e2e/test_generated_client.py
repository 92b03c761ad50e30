"""A client that a generator makes from our document sees what the server answers, errors too."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from tests.e2e.manager import Manager
from tests.lab.requirements import skip

pytestmark = pytest.mark.lab
PACKAGE = "generated_client"
# Nobody reads what is made here, so it is not formatted; and this generator has to be told that a picture is bytes.
SETTINGS = "post_hooks: []\ncontent_type_overrides: {image/png: application/octet-stream}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    with Manager(tmp_path_factory.mktemp("generated") / "manager", '[server]\nauth = "token"\n') as manager:
        yield manager


@pytest.fixture(scope="module")
def token(server: Manager) -> str:
    return (server.folder / "virtumancer.admin-token").read_text().strip()


@pytest.fixture(scope="module")
def made(server: Manager, token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A client made of the document that the server shows; what the generator said of it."""
    if find_spec("openapi_python_client") is None:
        skip("openapi-python-client is not installed")
    folder = tmp_path_factory.mktemp("client")
    document, settings = folder / "openapi.json", folder / "settings.yaml"
    answer = server.get("/openapi.json", headers={"Authorization": f"Bearer {token}"})
    document.write_bytes(answer.raise_for_status().content)
    settings.write_text(SETTINGS)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--meta", "none"]
    done = subprocess.run(
        [*command, "--config", settings, "--output-path", folder / PACKAGE],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    try:
        yield done.stdout + done.stderr
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


def the(module: str) -> Any:
    return import_module(f"{PACKAGE}.{module}")


def test_a_generator_takes_the_whole_document(made: str) -> None:
    assert "WARNING" not in made, made


@pytest.mark.usefixtures("made")
def test_a_generated_client_sees_a_typed_409(server: Manager, token: str) -> None:
    models, add_host = the("models"), the("api.hosts.add_host")
    host = models.NewHost(id="kvm1", uri="test:///default")

    with the("client").AuthenticatedClient(server.url, token) as client:
        added = add_host.sync_detailed(client=client, body=host)
        again = add_host.sync_detailed(client=client, body=host)

    assert isinstance(added.parsed, models.Host)
    assert again.status_code == 409
    assert isinstance(again.parsed, models.Problem409)
    assert again.parsed.code is models.Problem409Code.HOST_EXISTS
    assert again.parsed.status == 409
    assert "kvm1" in again.parsed.detail


@pytest.mark.usefixtures("made")
def test_a_generated_client_without_a_token_sees_a_typed_401(server: Manager) -> None:
    models = the("models")

    with the("client").Client(server.url) as client:
        answer = the("api.hosts.list_hosts").sync(client=client)

    assert isinstance(answer, models.Problem401)
    assert answer.code == "unauthenticated"
