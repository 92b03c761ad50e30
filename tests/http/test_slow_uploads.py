"""Uploads to a plugin that takes nothing: 504 in its name, whatever it makes of being cancelled."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.http.access_kit import World
from tests.http.resource_kit import Note
from virtumancer import hookimpl
from virtumancer.contracts import ByteSpan, ContentCollection, Job, ResourceContext, ResourceType, Rights


class Stubborn(ContentCollection[Note]):
    """Takes one piece and then nothing, and ends as its key says."""

    async def list(self, at: ResourceContext) -> Sequence[Note]:
        return [Note(name) for name in ("ends", "returns", "raises", "goes-on", "asks-again")]

    async def size(self, at: ResourceContext, key: str) -> int:
        return 0

    async def read(self, at: ResourceContext, key: str, span: ByteSpan) -> AsyncIterator[bytes]:
        yield b""

    async def write(
        self, at: ResourceContext, key: str, span: ByteSpan, chunks: AsyncIterator[bytes], job: Job
    ) -> None:
        await anext(chunks)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if key == "ends":
                raise
            if key == "raises":
                raise ValueError("too slow") from None
            if key == "goes-on":
                await asyncio.sleep(3600)
            if key == "asks-again":
                await anext(chunks)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    plugin = ModuleType("slow")
    types: list[Any] = [
        ResourceType(
            name="drums", singular="drum", title="Drums", item=Note, served_by=Stubborn(), content=True, timeout=0.2,
            rights=Rights(write="metadata"),
        )
    ]  # fmt: skip
    plugin.__dict__["virtumancer_resources"] = hookimpl(lambda: types)
    async with World(tmp_path, {"slow": plugin}) as world:
        yield world


@pytest.mark.parametrize("how", ["ends", "returns", "raises", "goes-on", "asks-again"])
async def test_a_plugin_that_takes_nothing_is_504_and_named(world: World, how: str) -> None:
    async with asyncio.timeout(20):
        answer = await world.admin.put(f"/drums/{how}/content", content=b"some text")
    assert (answer.status_code, answer.json()["code"], answer.json()["plugin"]) == (504, "timeout", "slow"), answer.text
    assert "took nothing for 0.2 s (plugin 'slow')" in answer.json()["detail"]
    (calls,) = [one for one in (await world.admin.get("/plugins/slow")).json()["calls"] if "upload" in one["name"]]
    assert (calls["calls"], calls["failures"]) == (1, 1)
