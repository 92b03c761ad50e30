"""Credentials of hosts: they reach the driver, and are seen by nobody else."""

import asyncio
import hashlib
import io
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from cryptography.fernet import Fernet

from tests.canaries import CANARIES, Canaries
from virtumancer.app import create_app
from virtumancer.config import LogConfig, load_config
from virtumancer.errors import ConfigError
from virtumancer.logs import configure_logging
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin

JSON = Mapping[str, Any]


@pytest.fixture
def password() -> str:
    """One that is found wherever a test makes the program write or answer it."""
    return CANARIES.plant("credential")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the program would log, from all its libraries."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging(LogConfig(level="debug"), stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@asynccontextmanager
async def serving(
    folder: Path, kvm1: FakeHypervisor, toml: str = "", **environ: str
) -> AsyncIterator[httpx2.AsyncClient]:
    """A server with its database in a folder, for as long as the context lasts."""
    file = folder / "virtumancer.toml"
    file.write_text(f'[server]\nauth = "off"\n{toml}')
    config = load_config(file, {"HOME": str(folder), **environ}, {"database.url": f"sqlite://{folder}/v.db"})
    application = create_app(config, load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1)}))
    transport = httpx2.ASGITransport(application)
    async with application, httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        yield client


async def add(client: httpx2.AsyncClient, kvm1: FakeHypervisor, **more: Any) -> httpx2.Response:
    return await client.post("/hosts", json={"id": "a", "uri": kvm1.uri, **more})


async def detail_of(client: httpx2.AsyncClient) -> JSON:
    found: JSON = (await client.get("/hosts/a")).json()
    return found


async def state_is(client: httpx2.AsyncClient, *states: str) -> JSON:
    async def there() -> bool:
        return (await detail_of(client))["state"] in states

    for _ in range(500):
        if await there():
            break
        await asyncio.sleep(0.02)
    detail = await detail_of(client)
    assert detail["state"] in states, detail
    return detail


def stored(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "v.db")) as connection:
        return str(connection.execute("SELECT credentials FROM hosts").fetchone()[0])


def assert_in_no_file(folder: Path, secret: str) -> None:
    files = [file for file in folder.iterdir() if file.is_file()]
    assert "virtumancer.db" in {file.name for file in files}
    assert [file.name for file in files if secret.encode() in file.read_bytes()] == []


async def test_a_host_is_added_with_what_its_driver_needs(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, password: str, tmp_path: Path
) -> None:
    kvm1.credentials = {"password": password}
    answer = await add(client, kvm1, credentials={"password": password, "client-key": "-----BEGIN KEY-----\nabc\n"})
    assert (answer.status_code, answer.json()) == (201, {"id": "a", "uri": kvm1.uri})
    assert (await detail_of(client))["credential_names"] == ["client-key", "password"]
    key = tmp_path / "virtumancer.credentials-key"
    assert key.stat().st_mode & 0o777 == 0o600


async def test_a_wrong_one_is_in_no_answer_event_record_or_log(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, tmp_path: Path, log: io.StringIO
) -> None:
    """The driver of this hypervisor repeats what it was given, as real ones do."""
    password = Canaries().plant("credential")  # the test runner's own log has it in clear
    kvm1.credentials = {"password": "another one"}
    refused = await add(client, kvm1, credentials={"password": password})
    assert (refused.status_code, refused.json()["code"]) == (502, "authentication-failed")
    assert "***" in refused.json()["detail"]
    kvm1.credentials = {}
    assert (await add(client, kvm1, credentials={"password": password})).status_code == 201
    kvm1.credentials = {"password": "another one"}
    kvm1.drop(f"lost with {password}")
    detail = await state_is(client, "refused")
    assert "***" in detail["reason"]
    begun = await client.post("/hosts/a/connect", headers={"Prefer": "respond-async"})
    for _ in range(200):
        operation = (await client.get(begun.headers["Location"].removeprefix("/api/v1"))).json()
        if operation["state"] not in {"queued", "running"}:
            break
        await asyncio.sleep(0.02)
    assert operation["state"] == "failed"
    for path in ("/audit", "/operations", "/plugins", "/hosts", "/hosts/a"):
        assert password not in (await client.get(path)).text
    assert_in_no_file(tmp_path, password)
    logging.getLogger("some.library").warning("sent %r", {"Authorization": password})
    assert "sent" in log.getvalue()
    assert password not in log.getvalue()


async def test_no_traceback_shows_one(client: httpx2.AsyncClient, kvm1: FakeHypervisor, log: io.StringIO) -> None:
    password = Canaries().plant("credential")
    kvm1.faults.fail("connect", RuntimeError(f"cannot log in with {password}"))  # type: ignore[arg-type]
    answer = await add(client, kvm1, credentials={"password": password})
    assert (answer.status_code, answer.json()["code"]) == (502, "plugin-failed")
    assert "RuntimeError: cannot log in with ***" in answer.json()["detail"]
    assert "Traceback" in log.getvalue()
    assert password not in log.getvalue()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_is_kept_for_an_idempotency_key_cannot_be_guessed_quickly(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, tmp_path: Path, asynchronous: bool
) -> None:
    headers = {"Idempotency-Key": "one"} | ({"Prefer": "respond-async"} if asynchronous else {})
    body = {"id": "a", "uri": kvm1.uri, "credentials": {"password": CANARIES.plant("credential")}}
    first = await client.post("/hosts", json=body, headers=headers)
    assert first.status_code == (202 if asynchronous else 201)
    again = await client.post("/hosts", json=body, headers=headers)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (first.status_code, "true")
    with closing(sqlite3.connect(tmp_path / "virtumancer.db")) as connection:
        digest, kept = connection.execute("SELECT digest, request FROM idempotency_keys").fetchone()
    prefer = headers.get("Prefer", "").encode()
    content = b"\0".join((b"POST", b"/api/v1/hosts", b"", prefer)) + b"\0" + first.request.content
    assert kept != hashlib.sha256(digest.encode() + content).hexdigest()
    other = await client.post("/hosts", json={**body, "credentials": {"password": "other"}}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("credentials", "field", "says"),
    [
        ({"pass word": "x"}, "credentials", "it takes client-key, password"),
        ({"hunter2hunter2": "password"}, "credentials", "it takes client-key, password"),
        ({"password": ""}, "credentials.password", "is empty"),
        ({"password": "x" * 65537}, "credentials.password", "longer than"),
        ({"password": 5}, "credentials[...]", "expected `str`"),
        ("password", "credentials", "expected `object`"),
    ],
)
async def test_what_cannot_be_one_is_refused_and_not_repeated(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, credentials: object, field: str, says: str
) -> None:
    answer = await add(client, kvm1, credentials=credentials)
    assert answer.status_code == 422
    assert answer.json()["fields"][0]["field"] == field
    assert says in answer.json()["detail"]
    assert "hunter2" not in answer.text
    assert (await client.get("/hosts")).json() == []


async def test_changed_ones_connect_the_host_anew(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, password: str
) -> None:
    await add(client, kvm1, credentials={"password": password})
    before = kvm1.connections[:]
    new = CANARIES.plant("credential")
    kvm1.credentials = {"password": new}
    changed = await client.patch("/hosts/a", json={"credentials": {"password": new, "client-key": "k"}})
    assert changed.status_code == 200
    assert (changed.json()["state"], changed.json()["credential_names"]) == ("connected", ["client-key", "password"])
    assert before != kvm1.connections
    assert len(kvm1.connections) == 1
    removed = await client.patch("/hosts/a", json={"credentials": {"password": None}})
    assert (removed.json()["state"], removed.json()["credential_names"]) == ("refused", ["client-key"])
    assert kvm1.connections == []


async def test_a_host_that_somebody_disconnected_stays_so(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, password: str
) -> None:
    await add(client, kvm1)
    await client.post("/hosts/a/disconnect")
    changed = await client.patch("/hosts/a", json={"credentials": {"password": password}})
    assert (changed.json()["state"], changed.json()["credential_names"]) == ("stopped", ["password"])


async def test_a_change_of_nothing_keeps_the_connection(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, password: str
) -> None:
    await add(client, kvm1, credentials={"password": password})
    before = kvm1.connections[:]
    assert (await client.patch("/hosts/a", json={})).json()["credential_names"] == ["password"]
    assert kvm1.connections == before
    assert (await client.patch("/hosts/a", json={"uri": "fake://other"})).status_code == 422
    assert (await client.patch("/hosts/b", json={"credentials": {}})).status_code == 404


async def test_what_was_changed_since_it_was_read_is_not_changed(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    await add(client, kvm1)
    answer = await client.patch("/hosts/a", json={"credentials": {"password": "x"}}, headers={"If-Match": '"old"'})
    assert answer.status_code == 412
    assert (await detail_of(client))["credential_names"] == []


async def test_they_go_with_their_host(client: httpx2.AsyncClient, kvm1: FakeHypervisor, password: str) -> None:
    await add(client, kvm1, credentials={"password": password})
    assert (await client.delete("/hosts/a")).status_code == 204
    assert (await add(client, kvm1)).status_code == 201
    assert (await detail_of(client))["credential_names"] == []


async def test_they_are_there_after_a_restart(folder: Path, kvm1: FakeHypervisor, password: str) -> None:
    kvm1.credentials = {"password": password}
    async with serving(folder, kvm1) as client:
        await add(client, kvm1, credentials={"password": password})
    assert password not in stored(folder)
    async with serving(folder, kvm1) as client:
        await state_is(client, "connected")


async def test_a_missing_key_is_said_and_loses_nothing(folder: Path, kvm1: FakeHypervisor, password: str) -> None:
    kvm1.credentials = {"password": password}
    async with serving(folder, kvm1) as client:
        await add(client, kvm1, credentials={"password": password})
    key, away = folder / "v.credentials-key", folder / "away"
    key.rename(away)
    before = stored(folder)
    async with serving(folder, kvm1) as client:
        detail = await state_is(client, "refused")
        assert detail["code"] == "credentials-unreadable"
        assert str(key) in detail["reason"]
        assert "is not there" in detail["reason"]
        refused = await client.patch("/hosts/a", json={"credentials": {"client-key": "k"}})
        assert (refused.status_code, refused.json()["code"]) == (503, "credentials-unreadable")
        assert not key.exists()
        assert stored(folder) == before
        away.rename(key)
        assert (await client.post("/hosts/a/connect")).json()["state"] == "connected"


async def test_another_key_is_said_and_seals_nothing(folder: Path, kvm1: FakeHypervisor, password: str) -> None:
    kvm1.credentials = {"password": password}
    async with serving(folder, kvm1) as client:
        await add(client, kvm1, credentials={"password": password})
    (folder / "v.credentials-key").write_bytes(Fernet.generate_key())
    before = stored(folder)
    async with serving(folder, kvm1) as client:
        detail = await state_is(client, "refused")
        assert "is another one than that with which" in detail["reason"]
        second = {"id": "b", "uri": kvm1.uri, "credentials": {"password": password}}
        refused = await client.post("/hosts", json=second)
        assert (refused.status_code, refused.json()["code"]) == (503, "credentials-unreadable")
        assert stored(folder) == before
        # The way out when the key is lost for good.
        await client.patch("/hosts/a", json={"credentials": {"password": None}})
        again = await client.patch("/hosts/a", json={"credentials": {"password": password}})
        assert again.json()["state"] == "connected"


@pytest.mark.parametrize("content", ["", "\n", "no key", "x" * 70000])
async def test_a_broken_key_file_is_said_without_its_content(
    folder: Path, kvm1: FakeHypervisor, password: str, content: str
) -> None:
    (folder / "v.credentials-key").write_text(content)
    async with serving(folder, kvm1) as client:
        refused = await add(client, kvm1, credentials={"password": password})
        assert (refused.status_code, refused.json()["code"]) == (503, "credentials-unreadable")
        assert "no key" not in refused.json()["detail"].replace("is no key", "").replace("there is no key", "")
        assert (folder / "v.credentials-key").read_text() == content
        assert (await client.get("/hosts")).json() == []


async def test_a_new_key_before_the_old_one_takes_over(
    folder: Path, kvm1: FakeHypervisor, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kvm1.credentials = {"password": password}
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    toml = 'credentials_key = "env:HOSTS_KEY"\n'
    for keys in (old, f"{new}\n{old}", new):
        monkeypatch.setenv("HOSTS_KEY", keys)
        async with serving(folder, kvm1, toml) as client:
            if keys == old:
                await add(client, kvm1, credentials={"password": password})
            await state_is(client, "connected")
    assert not (folder / "v.credentials-key").exists()


async def test_what_was_sealed_for_one_host_is_not_handed_to_another(
    folder: Path, kvm1: FakeHypervisor, password: str
) -> None:
    async with serving(folder, kvm1) as client:
        await add(client, kvm1, credentials={"password": password})
        await client.post("/hosts", json={"id": "evil", "uri": kvm1.uri})
    moved = "UPDATE hosts SET credentials = (SELECT credentials FROM hosts WHERE id = 'a') WHERE id = 'evil'"
    with closing(sqlite3.connect(folder / "v.db")) as connection, connection:
        connection.execute(moved)
    async with serving(folder, kvm1) as client:
        await state_is(client, "connected")
        answer = await client.post("/hosts/evil/connect")
        assert answer.json()["code"] == "credentials-unreadable"


async def test_a_configured_host_has_those_of_its_file_and_environment(
    folder: Path, kvm1: FakeHypervisor, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVM_PASSWORD", password)
    file = folder / "client.key"
    file.write_text(CANARIES.plant("credential") + "\n")
    kvm1.credentials = {"password": password, "client-key": file.read_text().strip()}
    toml = (
        f'[[hosts]]\nid = "a"\nuri = "{kvm1.uri}"\n'
        f'credentials = {{ password = "env:KVM_PASSWORD", client-key = "file:{file}" }}\n'
    )
    async with serving(folder, kvm1, toml) as client:
        detail = await state_is(client, "connected")
        assert detail["credential_names"] == ["client-key", "password"]
        assert stored(folder) == ""
        refused = await client.patch("/hosts/a", json={"credentials": {"password": None}})
        assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, "credentials")
        assert "comes from the configuration file" in refused.json()["detail"]
        file.unlink()
        kvm1.drop()
        detail = await state_is(client, "refused")
        assert f"names the file {file}, which is not there" in detail["reason"]


def test_a_configured_one_that_cannot_be_read_stops_the_start(folder: Path, kvm1: FakeHypervisor) -> None:
    file = folder / "virtumancer.toml"
    file.write_text('[[hosts]]\nid = "a"\nuri = "fake://kvm1"\ncredentials = { password = "in clear" }\n')
    with pytest.raises(ConfigError) as raised:
        load_config(file, {"HOME": str(folder)}, {})
    assert "hosts[0].credentials.password" in str(raised.value)
    assert "in clear" not in str(raised.value)
