"""Each caller's OpenAPI document has the operations that they could ever use, and no others."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openapi_spec_validator import validate

from tests.http.access_kit import WEB, World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def operations(client: httpx2.AsyncClient) -> set[str]:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    validate(document)
    return {one["operationId"] for methods in document["paths"].values() for one in methods.values()}


async def test_who_may_read_one_vm_sees_reading_and_no_action(world: World) -> None:
    viewer = await world.make({"role": "viewer", "host": "a", "vm": WEB})
    seen = await operations(viewer.client)
    assert {"getVmStats", "listVms", "getMe", "getHealth"} <= seen
    assert not seen & {"startVm", "addHost", "createToken", "takeVmScreenshot", "listAuditRecords", "extrasGetCount"}


async def test_an_operator_sees_the_actions_and_a_right_of_a_plugin_shows_its_route(world: World) -> None:
    operator = await world.make({"role": "operator", "host": "b"})
    counter = await world.make({"rights": ["count"]})
    of_admin, of_operator, of_counter = [
        await operations(client) for client in (world.admin, operator.client, counter.client)
    ]
    assert "startVm" in of_operator
    assert "addHost" not in of_operator
    [route] = of_counter - of_operator
    assert "count" in route.lower()
    assert of_operator | of_counter < of_admin


async def test_the_document_follows_the_rights_and_its_tag_too(world: World) -> None:
    someone = await world.make({"role": "viewer"})
    first = await someone.client.get("/openapi.json")
    tag = {"If-None-Match": first.headers["ETag"]}
    assert (await someone.client.get("/openapi.json", headers=tag)).status_code == 304
    await world.admin.patch(f"/tokens/{someone.id}", json={"grants": [{"role": "operator"}]})
    again = await someone.client.get("/openapi.json", headers=tag)
    assert (again.status_code, "startVm" in again.text, "startVm" in first.text) == (200, True, False)
