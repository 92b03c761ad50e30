"""What a browser on somebody else's page may not do."""

import httpx2
import pytest


@pytest.mark.parametrize("host", ["localhost:8890", "127.0.0.1", "[::1]:8890"])
async def test_names_of_this_machine_are_served(client: httpx2.AsyncClient, host: str) -> None:
    assert (await client.get("/health", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "192.0.2.1",
        "",
        "[",
        "evil@localhost",
        "localhost/evil",
        "localhost#e",
        "localhost?e",
        "evil\\\\@localhost",
        "localhost:80:80",
        "localhost:x",
        "[::1]evil",
        "[localhost]",
    ],
)
async def test_a_foreign_host_header_is_refused(client: httpx2.AsyncClient, host: str) -> None:
    answer = await client.get("/health", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "misdirected-request")


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_foreign_page_may_not_change_anything(client: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post("/hosts", json={"id": "a", "uri": "fake://kvm1"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await client.get("/hosts")).json() == []


async def test_our_own_page_may(client: httpx2.AsyncClient) -> None:
    headers = {"Host": "localhost:8890", "Origin": "http://localhost:8890"}
    answer = await client.post("/hosts", json={"id": "a", "uri": "fake://kvm1"}, headers=headers)
    assert answer.status_code == 201


async def test_the_same_host_on_another_port_is_another_origin(client: httpx2.AsyncClient) -> None:
    headers = {"Host": "localhost:8890", "Origin": "http://localhost:3000"}
    assert (await client.delete("/hosts/a", headers=headers)).status_code == 403
