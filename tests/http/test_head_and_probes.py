"""HEAD on what GET answers, probes without a name of ours, and bodies and cursors that hold more than asked."""

import asyncio
import base64
from urllib.parse import urlsplit

import httpx2
import pytest

from virtumancer.testing import FakeHypervisor

# Every GET of the API that needs no further object; `expanded` ones and sockets have tests of their own.
PATHS = ["/livez", "/readyz", "/api/v1/health", "/api/v1/hosts", "/api/v1/vms", "/api/v1/openapi.json", "/sign-in/"]


async def raw(url: str, request: bytes) -> bytes:
    """Send these bytes and read until the server closes."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("path", PATHS)
async def test_head_answers_what_get_does_without_the_body(url: str, path: str) -> None:
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        got, head = await client.get(path), await client.head(path)

    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag"):
        assert head.headers.get(name) == got.headers.get(name)


async def test_head_of_an_endless_answer_ends_at_its_headers(url: str) -> None:
    request = (
        b"HEAD /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
    )

    answer = await raw(url, request)

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


async def test_a_connection_goes_on_behind_head(url: str) -> None:
    ask = b" /api/v1/hosts HTTP/1.1\r\nHost: localhost\r\n"

    answer = await raw(url, b"HEAD" + ask + b"\r\nGET" + ask + b"Connection: close\r\n\r\n")

    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.endswith(b"\r\n\r\n[]")


@pytest.mark.parametrize("path", ["/hosts", "/health"])
async def test_head_is_among_the_methods_that_are_allowed(client: httpx2.AsyncClient, path: str) -> None:
    for answer in (await client.put(path), await client.options(path)):
        assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))


async def test_head_of_what_only_takes_post_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.head("/vms/actions")

    assert answer.status_code == 405
    assert "HEAD" not in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize(
    "request_head",
    [
        "HEAD {} HTTP/1.1\r\nHost: localhost",
        "GET {} HTTP/1.0",
        "GET {} HTTP/1.1\r\nHost: 10.244.1.7",
        "GET {} HTTP/1.1\r\nHost: [fd00::7]:8890",
    ],
)
async def test_probes_are_answered_by_address_and_without_a_host(url: str, path: str, request_head: str) -> None:
    answer = await raw(url, f"{request_head.format(path)}\r\nConnection: close\r\n\r\n".encode())

    assert answer.split()[1] == b"200"


@pytest.mark.parametrize("host", ["evil.example", "10.244.1.7.evil.example", ""])
async def test_probes_of_a_foreign_name_are_refused(client: httpx2.AsyncClient, host: str) -> None:
    assert (await client.get("http://localhost/readyz", headers={"Host": host})).status_code == 421


async def test_a_host_is_added_with_all_that_a_client_was_shown_of_it(
    client: httpx2.AsyncClient, kvm1: FakeHypervisor
) -> None:
    shown = {"id": "a", "uri": kvm1.uri, "state": "connected", "abilities": [], "since": None}

    answer = await client.post("/hosts", json=shown)

    assert (answer.status_code, answer.json()) == (201, {"id": "a", "uri": kvm1.uri})


@pytest.mark.parametrize("depth", [1, 5, 2000])
async def test_a_nested_cursor_is_refused_by_name(client: httpx2.AsyncClient, depth: int) -> None:
    cursor = base64.urlsafe_b64encode(b"[" * (depth + 1) + b"]" * (depth + 1)).decode().rstrip("=")

    answer = await client.get("/hosts", params={"cursor": cursor})

    assert (answer.status_code, [place["field"] for place in answer.json()["fields"]]) == (422, ["cursor"])


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost/api/v1/hosts", "localhost", b"200"),
        ("HTTP://127.0.0.1:8890/api/v1/hosts?limit=1", "127.0.0.1:8890", b"200"),
        ("http://localhost", "localhost", b"404"),
        ("http://evil.example/api/v1/hosts", "localhost", b"421"),
        ("http://localhost@evil.example/api/v1/hosts", "localhost", b"421"),
        ("http://localhost/api/v1/hosts", "evil.example", b"421"),
        ("http://evil.example/api/v1/hosts", "evil.example", b"421"),
    ],
)
async def test_a_target_that_names_the_server_is_that_path_and_its_name_counts(
    url: str, target: str, host: str, status: bytes
) -> None:
    answer = await raw(url, f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    assert answer.split()[1] == status


NAMELESS = "the path has no name of a {} between or behind its slashes"


NAMELESS = "the path has no name of a {} between or behind its slashes"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/hosts/", f"{NAMELESS.format('host')}; without the / at its end it is /api/v1/hosts"),
        ("/hosts/a/vms/", f"{NAMELESS.format('vm')}; without the / at its end it is /api/v1/hosts/a/vms"),
        ("/hosts//info", NAMELESS.format("host")),
    ],
)
async def test_a_path_that_ends_too_early_says_so(client: httpx2.AsyncClient, path: str, detail: str) -> None:
    answer = await client.get(path)

    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (404, "not-found", detail)


@pytest.mark.parametrize("path", ["/ws", "/api/v1/ws", "/api/v1/hosts/a/vms/web/console"])
async def test_a_socket_that_is_asked_for_without_an_upgrade_says_so(url: str, path: str) -> None:
    answer = await raw(url, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    assert answer.split()[1] == b"426"
    assert b"upgrade: websocket" in answer.lower()
    assert b'"code":"upgrade-required"' in answer
