"""Host keys over the API: looking, approving, and the alarm when one has changed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from tests.http.test_listeners import Recorder
from tests.waiting import until
from virtumancer import hookimpl
from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    ConnectContext,
    EventListener,
    Host,
    HostConnection,
    HostDriver,
    HostKey,
    HostKeyRefused,
    HostKeyTrust,
    ShownHostKey,
)
from virtumancer.errors import HostKeyChanged
from virtumancer.plugins import load_plugins
from virtumancer.services.audit.log import AuditRecord
from virtumancer.store import HostsRepository
from virtumancer.testing import FakeHypervisor, fake_plugin
from virtumancer.testing.fake import FakeConnection

OLD, NEW, THIRD = (f"SHA256:{letter * 43}" for letter in "ABC")


def shown(fingerprint: str, trust: HostKeyTrust = HostKeyTrust.UNKNOWN) -> ShownHostKey:
    return ShownHostKey("kvm1.example", "ssh-ed25519", fingerprint, f"ssh-ed25519 {fingerprint}", trust)


def changed(fingerprint: str) -> HostKeyChanged:
    facts = {"address": "kvm1.example", "type": "ssh-ed25519"}
    return HostKeyChanged(
        "changed", host_key=facts | {"fingerprint": fingerprint}, trusted_host_keys=[facts | {"fingerprint": OLD}]
    )


class Blind(HostDriver):
    """Knows nothing of keys."""

    schemes = frozenset({"blind"})

    async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
        raise NotImplementedError


def trusting(hypervisor: FakeHypervisor) -> type[HostDriver]:
    """Make a driver that accepts a key with each connection."""

    class Trusting(HostDriver):
        schemes = frozenset({"trusting"})

        async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
            await hypervisor.faults.meet("connect")
            context.host_keys.accepts(HostKey("kvm1.example", "ssh-ed25519", NEW, "ssh-ed25519 AAAA"))
            return FakeConnection(hypervisor)

    return Trusting


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def application(tmp_path: Path, kvm1: FakeHypervisor, recorder: Recorder) -> AsyncIterator[Application]:
    settings = {
        "database.url": f"sqlite://{tmp_path}/virtumancer.db",
        "server.auth": "off",
        "sessions.retry_min": 0.02,
        "sessions.retry_max": 0.02,
        "sessions.refused_retry": 0.02,
        "ssh.unknown_host_keys": "accept-new",
    }

    def listeners() -> list[EventListener]:
        return [recorder]

    extras = ModuleType("extras")
    extras.virtumancer_host_drivers = hookimpl(lambda: [Blind, trusting(kvm1)])  # type: ignore[attr-defined]
    extras.__dict__["virtumancer_event_listeners"] = hookimpl(listeners, specname="virtumancer_event_listeners")
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1), "extras": extras})
    async with create_app(load_config(None, {"HOME": str(tmp_path)}, settings), plugins) as application:
        yield application


@pytest.fixture
async def host(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> str:
    (await client.post("/hosts", json={"id": "kvm1", "uri": kvm1.uri})).raise_for_status()
    return "/hosts/kvm1"


async def approve(client: httpx2.AsyncClient, host: str, fingerprint: str) -> tuple[int, dict[str, Any]]:
    answer = await client.post(f"{host}/host-keys", json={"fingerprint": fingerprint})
    return answer.status_code, answer.json()


async def pinned(client: httpx2.AsyncClient, host: str) -> list[str]:
    return [key["fingerprint"] for key in (await client.get(f"{host}/host-keys")).json()]


async def test_looking_shows_the_keys_and_changes_nothing(
    client: httpx2.AsyncClient, host: str, kvm1: FakeHypervisor
) -> None:
    kvm1.shown_keys = (shown(NEW),)

    answer = await client.post(f"{host}/host-keys/scan")

    assert answer.status_code == 200
    assert [(key["fingerprint"], key["trust"]) for key in answer.json()] == [(NEW, "unknown")]
    assert await pinned(client, host) == []


async def test_a_host_that_is_not_added_is_looked_at_by_its_uri(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.shown_keys = (shown(NEW),)

    answer = await client.post("/host-keys/scan", json={"uri": kvm1.uri})

    assert [key["fingerprint"] for key in answer.json()] == [NEW]
    assert (await client.get("/hosts")).json() == []


@pytest.mark.parametrize("uri", ["", "nobody://kvm1", "fake://" + "a" * 3000])
async def test_a_uri_that_may_not_be_added_may_not_be_looked_at(client: httpx2.AsyncClient, uri: str) -> None:
    answer = await client.post("/host-keys/scan", json={"uri": uri})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-value")


async def test_a_driver_that_cannot_look_is_named(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/host-keys/scan", json={"uri": "blind://kvm1"})

    assert (answer.status_code, answer.json()["code"]) == (501, "ability-missing")
    assert (answer.json()["ability"], "'extras'" in answer.json()["detail"]) == ("host-key-scan", True)


async def test_a_key_that_the_host_shows_is_approved_without_connecting(
    client: httpx2.AsyncClient, host: str, kvm1: FakeHypervisor
) -> None:
    await client.post(f"{host}/disconnect")
    connects = kvm1.faults.calls["connect"]
    kvm1.shown_keys = (shown(NEW),)

    status, key = await approve(client, host, NEW)
    kvm1.shown_keys = (shown(NEW, HostKeyTrust.PINNED),)
    again, _ = await approve(client, host, NEW)

    assert (status, key["fingerprint"], again) == (201, NEW, 201)
    assert await pinned(client, host) == [NEW]
    assert kvm1.faults.calls["connect"] == connects
    assert (await client.get(host)).json()["state"] == "stopped"


async def test_a_key_that_the_host_does_not_show_is_not_approved(
    client: httpx2.AsyncClient, host: str, kvm1: FakeHypervisor
) -> None:
    kvm1.shown_keys = (shown(NEW),)

    status, problem = await approve(client, host, THIRD)

    assert (status, problem["code"], NEW in problem["detail"]) == (409, "conflict", True)
    assert await pinned(client, host) == []


async def test_of_two_keys_that_are_approved_at_once_one_is_pinned(
    client: httpx2.AsyncClient, host: str, kvm1: FakeHypervisor
) -> None:
    kvm1.shown_keys = (shown(NEW), shown(THIRD))
    kvm1.faults.delay("scan_host_keys", 0.1)

    answers = await asyncio.gather(*(approve(client, host, fingerprint) for fingerprint in (NEW, THIRD)))

    assert sorted(status for status, _ in answers) == [201, 409]
    assert len(await pinned(client, host)) == 1


async def test_a_connection_whose_host_went_while_it_was_made_is_closed(
    application: Application, client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    (await client.post("/hosts", json={"id": "a", "uri": "trusting://kvm1"})).raise_for_status()
    await client.post("/hosts/a/disconnect")
    kvm1.faults.hang("connect")
    before = kvm1.faults.calls["connect"]
    connecting = asyncio.create_task(client.post("/hosts/a/connect"))
    while kvm1.faults.calls["connect"] == before:  # noqa: ASYNC110 - a counter
        await asyncio.sleep(0)
    await HostsRepository(application.database).remove("a")
    kvm1.faults.release("connect")

    assert (await connecting).status_code == 404
    assert kvm1.connections == []


@pytest.mark.parametrize("trust", [HostKeyTrust.CHANGED, HostKeyTrust.REVOKED, HostKeyTrust.INVALID])
async def test_approving_never_heals_a_changed_or_revoked_key(
    client: httpx2.AsyncClient, host: str, kvm1: FakeHypervisor, trust: HostKeyTrust
) -> None:
    kvm1.shown_keys = (shown(NEW, trust),)

    status, problem = await approve(client, host, NEW)

    assert (status, problem["code"]) == (409, "host-key-changed")
    assert problem["host_key"]["fingerprint"] == NEW
    assert await pinned(client, host) == []


async def test_what_an_authority_vouches_for_needs_no_approval(
    client: httpx2.AsyncClient, host: str, kvm1: FakeHypervisor
) -> None:
    kvm1.shown_keys = (shown(NEW, HostKeyTrust.AUTHORITY),)

    assert (await approve(client, host, NEW))[0] == 409


@pytest.mark.parametrize("fingerprint", ["", "MD5:aa", "SHA256:short", f"{NEW}\n", 7])
async def test_what_is_no_fingerprint_is_refused(client: httpx2.AsyncClient, host: str, fingerprint: object) -> None:
    answer = await client.post(f"{host}/host-keys", json={"fingerprint": fingerprint})

    assert answer.status_code == 422


async def alarms(application: Application) -> list[AuditRecord]:
    return [record async for record in application.services.audit.records() if record.actor == "the server"]


async def test_a_changed_key_is_an_event_and_on_record_once_however_often_it_is_refused(
    application: Application, client: httpx2.AsyncClient, host: str, kvm1: FakeHypervisor, recorder: Recorder
) -> None:
    event = HostKeyRefused("kvm1", "kvm1.example", NEW, (OLD,), "changed")
    kvm1.faults.fail("connect", changed(NEW), times=5)
    before = kvm1.faults.calls["connect"]
    kvm1.connections[0].lose("cut")
    async with asyncio.timeout(20):
        await recorder.heard(event)
    await until(lambda: kvm1.faults.calls["connect"] >= before + 6, 20)

    begun, ended = await alarms(application)
    assert (begun.what, begun.actor) == ("refuse a changed host key", "the server")
    said = {"host": "kvm1", "address": "kvm1.example", "shown": NEW, "trusted": OLD}
    assert begun.target == said | {"uri": "fake://kvm1"}
    assert (ended.act, ended.outcome) == (begun.number, "host-key-changed")
    assert recorder.events.count(event) == 1


async def test_another_key_and_a_change_after_a_good_connection_are_news(
    application: Application, client: httpx2.AsyncClient, host: str, kvm1: FakeHypervisor, recorder: Recorder
) -> None:
    for errors in ([changed(NEW), changed(THIRD)], [changed(NEW)]):
        for error in errors:
            kvm1.faults.fail("connect", error)
        kvm1.connections[0].lose("cut")
        await until(lambda: kvm1.connections, 20)

    fingerprints = [record.target["shown"] for record in await alarms(application) if record.kind == "begun"]
    assert fingerprints == [NEW, THIRD, NEW]
