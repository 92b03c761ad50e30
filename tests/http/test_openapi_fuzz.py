"""schemathesis calls every operation of a server with the fake driver."""

import asyncio
from pathlib import Path

import pytest

from tests.http.access_kit import World
from tests.http.fuzzing import fuzz


@pytest.mark.timeout(900)
async def test_every_operation_keeps_to_the_document(tmp_path: Path) -> None:
    asyncio.get_running_loop().set_debug(False)  # over so many requests it would cost minutes
    async with World(tmp_path) as world:
        # The names of the document's examples.
        world.a.define("web01")
        assert (await world.admin.post("/hosts", json={"id": "kvm1", "uri": world.a.uri})).status_code == 201
        async with world.served() as address:
            await fuzz(address.replace("ws", "http", 1), world.token, tmp_path)
