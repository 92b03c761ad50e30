"""schemathesis calls every operation with what the document allows, and with what it does not."""

import asyncio
import sys
from pathlib import Path

import httpx2

from virtumancer.contracts import ConsoleOffer, VMState
from virtumancer.testing import FakeHypervisor

PROGRAM = Path(sys.executable).with_name("schemathesis")
FLAGS = (
    "--phases=examples,coverage,fuzzing",
    "--max-examples=10",
    "--no-color",
    "--generation-database=none",
    # A URI that no driver serves fits the schema, and so does an id that nothing has.
    "--exclude-checks=positive_data_acceptance",
    "--exclude-by=/x-websocket == true",
    # The host of the examples is to stay, so that the others have something to talk to.
    "--exclude-operation-id=removeHost",
    "--exclude-operation-id=disconnectHost",
)


async def test_every_operation_keeps_to_the_document(
    url: str, client: httpx2.AsyncClient, kvm1: FakeHypervisor, tmp_path: Path
) -> None:
    web = kvm1.define("web01", VMState.RUNNING)
    kvm1.consoles[web.uuid] = (ConsoleOffer("vnc", available=True),)
    assert (await client.post("/hosts", json={"id": "kvm1", "uri": kvm1.uri})).status_code == 201

    running = await asyncio.create_subprocess_exec(
        PROGRAM,
        "run",
        f"{url}/api/v1/openapi.json",
        *FLAGS,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await running.communicate()

    assert running.returncode == 0, output.decode()
