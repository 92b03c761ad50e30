"""The client against a real server: what it returns, and what it raises."""

import asyncio
from typing import Any

import pytest
from msgspec import UNSET

from tests.lab import free_port
from virtumancer.client import NEVER, ApiError, AsyncClient, Client, ServerUnreachable, UnexpectedAnswer, succeeded
from virtumancer.contracts import Host, HostState, OperationState, VMState
from virtumancer.errors import (
    ActionNotFound,
    HostExists,
    HostNotFound,
    InvalidValue,
    PreconditionFailed,
    UsageError,
    VMNotFound,
    WrongPowerState,
)
from virtumancer.testing import FakeHypervisor

NASTY = ("..", ".", "a/b", "a%2Fb", "с пробелом", "?x=1#y", "a\\b", "db", "🐘")


async def test_hosts_and_vms_come_as_the_structs_of_the_contracts(api: AsyncClient, kvm1: FakeHypervisor) -> None:
    vm = kvm1.define("web01", VMState.RUNNING)
    assert await api.hosts.list() == (Host("kvm1", kvm1.uri),)
    assert (await api.hosts.get("kvm1")).state is HostState.CONNECTED
    assert await api.hosts.info("kvm1") == kvm1.info
    (listed,) = await api.vms.list("kvm1")
    assert (listed.uuid, listed.state) == (vm.uuid, VMState.RUNNING)
    assert [row.name for row in await api.vms.rows("kvm1")] == ["web01"]
    one = await api.vms.get("kvm1", "web01", include=["stats", "consoles"], fresh=True)
    assert (one.uuid, one.host, one.consoles, one.hardware) == (vm.uuid, "kvm1", (), UNSET)
    assert one.stats == await api.vms.stats("kvm1", vm.uuid)


@pytest.mark.parametrize("name", NASTY)
async def test_a_vm_is_reached_whatever_its_name(api: AsyncClient, kvm1: FakeHypervisor, name: str) -> None:
    vm = kvm1.define(name)
    assert (await api.vms.get("kvm1", vm.uuid if name == "db" else name)).uuid == vm.uuid
    await api.vms.act("kvm1", name, "start")
    assert kvm1.vms[vm.uuid].state is VMState.RUNNING


async def test_a_refusal_is_the_class_of_its_code_with_status_and_request_id(
    api: AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web01", VMState.RUNNING)
    with pytest.raises(WrongPowerState, match="web01") as raised:
        await api.vms.act("kvm1", "web01", "start")
    error = raised.value
    assert isinstance(error, ApiError)
    assert (error.status, error.code, error.extra["state"]) == (409, "wrong-power-state", 1)
    assert len(error.request_id) == 32


async def test_what_is_missing_is_told_apart(api: AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01")
    for kind, call in (
        (HostNotFound, api.vms.list("nowhere")),
        (VMNotFound, api.vms.stats("kvm1", "nobody")),
        (ActionNotFound, api.vms.act("kvm1", "web01", "dance")),
        (HostExists, api.hosts.add("kvm1", kvm1.uri)),
    ):
        with pytest.raises(kind):
            await call


async def test_a_wrong_value_names_its_field(api: AsyncClient) -> None:
    with pytest.raises(InvalidValue) as raised:
        await api.hosts.add("", "fake://kvm1")
    assert raised.value.field == "id"


async def test_a_code_that_the_client_does_not_know_is_an_api_error(api: AsyncClient) -> None:
    with pytest.raises(ApiError) as raised:
        await api.server.call("PATCH", "/hosts")
    assert (raised.value.status, raised.value.code, type(raised.value).__name__) == (
        405,
        "method-not-allowed",
        "ApiError",
    )


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with AsyncClient(f"http://127.0.0.1:{free_port()}", retries=NEVER) as api:
        with pytest.raises(ServerUnreachable, match="does not answer"):
            await api.hosts.list()


async def test_something_else_that_answers_is_not_taken_for_the_api() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        async with AsyncClient(f"http://127.0.0.1:{port}") as api:
            with pytest.raises(UnexpectedAnswer):
                await api.hosts.list()


@pytest.mark.parametrize("url", ["", "localhost:8890", "ftp://here", "http://", "http://here/?x=1"])
async def test_a_url_that_is_none_is_a_mistake_of_the_caller(url: str) -> None:
    with pytest.raises(UsageError, match="http://127"):
        AsyncClient(url)


async def test_an_action_that_has_nothing_to_do_says_so_when_asked(api: AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01", VMState.RUNNING)
    result = await api.vms.act("kvm1", "web01", "start", if_already="ok", wait_for="running")
    assert result
    assert result.already


async def test_an_operation_is_waited_for_with_its_progress(api: AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01")
    begun = await api.vms.begin("kvm1", "web01", "start", wait_for="running")
    seen = []
    ended = await api.operations.wait(begun.id, on_progress=seen.append)
    assert succeeded(ended) is ended
    assert seen[-1] == ended
    assert ended.target.name == "web01"


async def test_the_failure_of_an_operation_is_raised_as_its_class(api: AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01")
    begun = await api.vms.begin_on_many("start", names=["web01", "ghost"])
    ended = await api.operations.wait(begun.id)
    assert {outcome.name: outcome.outcome for outcome in ended.outcomes} == {"web01": "ok", "ghost": "vm-not-found"}
    with pytest.raises(ApiError) as raised:
        succeeded(ended)
    assert raised.value.code == "partly-failed"
    assert ended.state is OperationState.FAILED


async def test_the_synchronous_client_does_the_same(url: str, kvm1: FakeHypervisor) -> None:
    def work() -> tuple[Any, ...]:
        with Client(url) as client:
            client.hosts.add("kvm1", kvm1.uri)
            client.vms.act("kvm1", "web01", "start")
            with pytest.raises(HostNotFound):
                client.hosts.get("nowhere")
            return client.vms.list("kvm1")

    kvm1.define("web01")
    (vm,) = await asyncio.to_thread(work)
    assert vm.state is VMState.RUNNING


async def test_metadata_are_changed_only_as_they_were_seen(api: AsyncClient, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01")
    seen = await api.vms.set_metadata("kvm1", "web01", title="Shop", tags=["prod"])
    changed = await api.vms.change_metadata("kvm1", "web01", notes="noisy", seen=seen)

    with pytest.raises(PreconditionFailed, match="read them again"):
        await api.vms.set_metadata("kvm1", "web01", title="Bank", seen=seen)

    assert await api.vms.metadata("kvm1", "web01") == changed
    host = await api.hosts.metadata("kvm1")
    assert (await api.hosts.set_metadata("kvm1", title="Rack 4", seen=host)).title == "Rack 4"
    with pytest.raises(PreconditionFailed):
        await api.hosts.change_metadata("kvm1", notes="hot", seen=host)
