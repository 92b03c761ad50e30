"""Names that no column holds: too long, or with a NUL; every route answers that there is no such thing."""

import re
from typing import Any

import pytest

from tests.attacks.kit import Target


@pytest.mark.parametrize("name", ["a" * 64, "a%00b"], ids=["long", "NUL"])
async def test_no_route_fails_of_a_name_that_nothing_can_have(victim: Target, name: str) -> None:
    document: dict[str, Any] = (await victim.world.admin.get("/openapi.json")).json()
    async with victim.client(victim.world.token) as client:
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if method not in {"get", "post", "put", "patch", "delete"} or "x-websocket" in operation:
                    continue
                named = [item["name"] for item in operation.get("parameters", []) if item.get("in") == "query"]
                line = re.sub(r"\{\w+\}", name, path) + "?" + "&".join(f"{key}={name}" for key in named)
                request = client.build_request(method, "/", content=b'{"id":"x"}' if method != "get" else None)
                request.url = request.url.copy_with(raw_path=line.encode())
                answer = await client.send(request)
                assert answer.status_code < 500, (method, line, answer.text)
