"""Resources of plugins through the clients and the command line, against a real server."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.forks import Forks
from tests.http.cli.program import Program
from tests.http.resource_kit import (
    LINES,
    NOTES,
    NOTES_OF_SERVER,
    SNAPSHOTS,
    NewSnapshot,
    Note,
    Reverted,
    Snapshot,
    SnapshotChange,
    SnapshotPlan,
    Snapshots,
    resource_plugin,
)
from virtumancer.app import Application, create_app
from virtumancer.client import AsyncClient, Client, UnexpectedAnswer
from virtumancer.config import load_config
from virtumancer.contracts import VMState
from virtumancer.errors import ResourceExists, ResourceNotFound, UsageError
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin


@pytest.fixture
async def application(tmp_path: Path, kvm1: FakeHypervisor) -> AsyncIterator[Application]:
    kvm1.define("web", VMState.RUNNING)
    kvm1.abilities.append(Snapshots())
    NOTES_OF_SERVER.texts.clear()
    config = load_config(None, {"HOME": str(tmp_path)}, {"server.auth": "off"})
    extra = {"fake": fake_plugin(kvm1), "noted": resource_plugin()}
    async with create_app(config, load_plugins(disabled=["libvirt"], extra=extra)) as application:
        yield application


async def test_a_descriptor_types_what_is_sent_and_what_comes(api: AsyncClient) -> None:
    items = api.of(SNAPSHOTS, "kvm1", "web")
    made = await items.create(NewSnapshot("one", "first"))
    assert made == Snapshot("one", "first", 7)
    assert await items.list() == (made,)
    assert await items.change("one", SnapshotChange("second")) == Snapshot("one", "second", 7)
    assert await items.plan(NewSnapshot("four")) == SnapshotPlan(4)
    assert await items.act("one", "revert") == Reverted("one")
    with pytest.raises(UsageError, match="snapshots have no action 'one'; there are: revert; the key comes first"):
        await items.act("revert", "one")
    with pytest.raises(ResourceExists):
        await items.create(NewSnapshot("one"))
    await items.delete("one")
    with pytest.raises(ResourceNotFound):
        await items.get("one")


async def test_by_name_they_are_dictionaries(api: AsyncClient) -> None:
    items = api.of("snapshots", "kvm1", "web")
    assert await items.create({"name": "one"}) == {"name": "one", "description": "", "size": 7}
    assert [item["name"] for item in await items.list(limit=5)] == ["one"]
    with pytest.raises(ResourceNotFound, match="the server has no resource 'snapshot'"):
        await api.of("snapshot", "kvm1", "web").list()
    with pytest.raises(UsageError, match="told apart by host, vm"):
        await api.of(SNAPSHOTS, "kvm1").list()


async def test_content_goes_both_ways_in_pieces(api: AsyncClient) -> None:
    await api.of(NOTES).create(Note("one"))

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 65535 + b"\n"

    received = await api.of(NOTES).write("one", pieces())
    assert received.received == 50 * 65536
    assert sum([len(chunk) async for chunk in api.of(NOTES).read("one")]) == 50 * 65536
    assert b"".join([chunk async for chunk in api.of(NOTES).read("one", start=65535, stop=65537)]) == b"\nx"
    assert len(await api.of(LINES, "one").list()) == 50


async def test_what_fails_midway_is_no_end(api: AsyncClient) -> None:
    NOTES_OF_SERVER.texts["broken"] = b"x" * 200_000
    with pytest.raises(Exception, match="does not answer"):
        async for _ in api.of(NOTES).read("broken"):
            pass


async def test_other_bytes_than_the_server_says_are_refused_at_their_end() -> None:
    said = base64.b64encode(hashlib.sha256(b"the text").digest()).decode()
    bodies = [b"the text", b"the t\x00xt"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nRepr-Digest: sha-256=:{said}:\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + bodies.pop(0))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with AsyncClient(url) as client:
            assert b"".join([chunk async for chunk in client.of(NOTES).read("one")]) == b"the text"
            with pytest.raises(UnexpectedAnswer, match="is not what the server said"):
                async for _ in client.of(NOTES).read("one"):
                    pass


async def test_the_client_that_waits_has_the_same(url: str, api: AsyncClient) -> None:
    def use() -> None:
        with Client(url) as client:
            assert client.of(SNAPSHOTS, "kvm1", "web").create(NewSnapshot("one")).size == 7
            assert client.of("snapshots", "kvm1", "web").get("one")["name"] == "one"
            client.of(NOTES).create(Note("n"))
            client.of(NOTES).write("n", b"text")
            assert b"".join(client.of(NOTES).read("n")) == b"text"

    await asyncio.to_thread(use)


async def test_the_program_has_a_command_for_each_type(
    url: str, api: AsyncClient, tmp_path: Path, forks: Forks
) -> None:
    program = Program(tmp_path, {"VIRTUMANCER_URL": url}, forks)
    where = ("--host", "kvm1", "--vm", "web")
    made = await program.run("snapshots", "create", "one", *where, "--description", "first")
    assert made.code == 0, made.err
    listed = await program.run("snapshots", "list", *where)
    assert listed.out.split() == ["NAME", "SIZE", "one", "7"]
    assert (await program.run("snapshots", "show", "one", *where, "--json")).json["description"] == "first"
    assert "revert" in (await program.run("resources")).out
    assert (await program.run("snapshots", "delete", "one", *where)).out == "snapshot one: deleted\n"
    wrong = await program.run("snapshot", "list")
    assert (wrong.code, "did you mean" in wrong.err) == (2, True)
    assert "say where: --host … --vm …" in (await program.run("snapshots", "list")).err
