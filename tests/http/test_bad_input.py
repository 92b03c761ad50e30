"""Bad input gets a problem document that names the field and the cure, and changes nothing."""

import httpx2
import pytest

from virtumancer.testing import FakeHypervisor


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b"[]", 422, ""),
        (b"null", 422, ""),
        (b'{"uri":"fake://kvm1"}', 422, "id"),
        (b'{"id":"a"}', 422, "uri"),
        (b'{"id":1,"uri":"fake://kvm1"}', 422, "id"),
        (b'{"id":"a","uri":null}', 422, "uri"),
        (b'{"id":"","uri":"fake://kvm1"}', 422, "id"),
        (b'{"id":"..","uri":"fake://kvm1"}', 422, "id"),
        (b'{"id":"a b","uri":"fake://kvm1"}', 422, "id"),
        (b'{"id":"a\\n","uri":"fake://kvm1"}', 422, "id"),
        (b'{"id":"a/b","uri":"fake://kvm1"}', 422, "id"),
        (b'{"id":"' + b"a" * 64 + b'","uri":"fake://kvm1"}', 422, "id"),
        (b'{"id":"a","uri":""}', 422, "uri"),
        (b'{"id":"a","uri":"nonsense"}', 422, "uri"),
        (b'{"id":"a","uri":"gopher://kvm1"}', 422, "uri"),
        (b'{"id":"a","uri":"fake://' + b"x" * 3000 + b'"}', 422, "uri"),
        (b'{"id":"a","uri":"fake://kvm1","host_key":3}', 422, "host_key"),
    ],
)
async def test_a_host_that_cannot_be(client: httpx2.AsyncClient, body: bytes, status: int, field: str | None) -> None:
    answer = await client.post("/hosts", content=body)
    problem = answer.json()
    assert answer.status_code == status == problem["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["instance"] == f"urn:request:{answer.headers['x-request-id']}"
    if field is None:
        assert problem["code"] == "invalid-request"
    else:
        assert problem["code"] == "invalid-value"
        assert problem["fields"][0]["field"] == field
    assert (await client.get("/hosts")).json() == []


async def test_a_second_host_of_the_same_id_is_a_conflict(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    for status in (201, 409):
        answer = await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
        assert answer.status_code == status
    assert answer.json()["code"] == "host-exists"


async def test_a_body_over_the_limit_is_refused_also_when_it_is_chunked(client: httpx2.AsyncClient) -> None:
    async def chunks() -> object:
        for _ in range(20):
            yield b" " * 100_000

    for content in (b" " * 2_000_000, chunks()):
        answer = await client.post("/hosts", content=content)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/hosts/none", "host-not-found"),
        ("DELETE", "/hosts/none", "host-not-found"),
        ("GET", "/hosts/none/info", "host-not-found"),
        ("GET", "/hosts/none/vms", "host-not-found"),
        ("GET", "/hosts/none/vms/db", "host-not-found"),
        ("GET", "/hosts/none/vms/x/stats", "host-not-found"),
        ("POST", "/hosts/none/vms/x/start", "host-not-found"),
        ("POST", "/hosts/none/connect", "host-not-found"),
        ("GET", "/hosts/a/vms/none/stats", "vm-not-found"),
        ("GET", "/hosts/a/vms/none/hardware", "vm-not-found"),
        ("POST", "/hosts/a/vms/none/start", "vm-not-found"),
        ("POST", "/hosts/a/vms/web/explode", "action-not-found"),
        ("GET", "/plugins/none", "plugin-not-found"),
        ("GET", "/nowhere", "not-found"),
    ],
)
async def test_what_is_not_there_is_404_with_a_code(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor, method: str, path: str, code: str
) -> None:
    kvm1.define("web")
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, code)


async def test_a_method_that_is_not_there_is_405_and_names_the_others(client: httpx2.AsyncClient) -> None:
    answer = await client.put("/hosts")
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]


async def test_whoever_prefers_plain_text_gets_the_detail_alone(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/hosts/none", headers={"Accept": "text/plain"})
    assert answer.text == "there is no host 'none'"
    assert answer.headers["content-type"].startswith("text/plain")


async def test_parameters_for_an_action_without_any_are_refused(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    kvm1.define("web")
    await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
    answer = await client.post("/hosts/a/vms/web/start", json={"force": True})
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "force")
    assert kvm1.faults.calls["power"] == 0
