"""Headers that say where a request comes from, and bytes that are one request to a proxy and two to us."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.attacks.kit import Target, target

HOST = "Host: localhost"


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Target]:
    """A server that believes a proxy on this machine."""
    async with target(tmp_path, **{"server.trusted_proxies": ["127.0.0.1"]}) as started:
        yield started


async def address_on_record(victim: Target, *headers: str) -> str:
    await victim.ask("POST /api/v1/hosts/none/connect HTTP/1.1", HOST, "Content-Length: 0", *headers)
    return str([record.address async for record in victim.world.application.services.audit.records()][-1])


FORGED = [
    ("X-Forwarded-For: 203.0.113.9",),
    ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"),
    ("x-forwarded-for: 203.0.113.9, 127.0.0.1",),
    ("X_Forwarded_For: 203.0.113.9",),
    ("X-Real-IP: 203.0.113.9",),
    ("Forwarded: for=203.0.113.9;proto=https",),
    ("True-Client-IP: 203.0.113.9", "CF-Connecting-IP: 203.0.113.9", "X-Client-IP: 203.0.113.9"),
]


async def test_who_is_no_proxy_cannot_say_where_it_comes_from(victim: Target) -> None:
    for headers in FORGED:
        assert await address_on_record(victim, *headers) == "127.0.0.1", headers


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        (("X-Forwarded-For: 203.0.113.9",), "203.0.113.9"),
        # What the client said stands before what the proxy adds.
        (("X-Forwarded-For: 198.51.100.1, 203.0.113.9",), "203.0.113.9"),
        (("X-Forwarded-For: 127.0.0.1, 203.0.113.9",), "203.0.113.9"),
        (("X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 203.0.113.9"), "203.0.113.9"),
        (("X-Forwarded-For: 198.51.100.1,\r\n 203.0.113.9",), "203.0.113.9"),
        (("Forwarded: for=203.0.113.9",), "127.0.0.1"),
        (("X-Real-IP: 203.0.113.9",), "127.0.0.1"),
    ],
)
async def test_of_a_proxy_counts_what_it_says_itself(proxied: Target, headers: tuple[str, ...], address: str) -> None:
    assert await address_on_record(proxied, *headers) == address


async def test_a_forged_scheme_makes_no_other_origin_the_own(victim: Target) -> None:
    origin = f"Origin: https://127.0.0.1:{victim.address[1]}"
    for proto in ("https", "HTTPS", "https,http", "http\r\n https"):
        answer = await victim.ask(
            "POST /api/v1/hosts/none/connect HTTP/1.1",
            f"Host: 127.0.0.1:{victim.address[1]}",
            origin,
            f"X-Forwarded-Proto: {proto}",
            "Content-Length: 0",
        )
        assert answer.status in {400, 403}, proto


async def test_forwarded_names_of_the_server_count_from_nobody(proxied: Target) -> None:
    for name in ("X-Forwarded-Host: localhost", "X-Original-Host: localhost", "Forwarded: host=localhost"):
        assert (await proxied.ask("GET /api/v1/hosts HTTP/1.1", "Host: evil.example", name)).status == 421


async def test_forwarded_paths_count_from_nobody(proxied: Target) -> None:
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Path"):
        answer = await proxied.ask("GET /api/v1/health HTTP/1.1", HOST, f"{name}: /api/v1/hosts")
        assert b'"ok"' in answer.body


INNER = "GET /api/v1/hosts HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONFLICTS = [
    ("Content-Length: 5", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: chunked", "Content-Length: 5"),
    ("Content-Length: 5", "Content-Length: 6"),
    ("Content-Length: 5, 6",),
    ("Content-Length: +5",),
    ("Content-Length: -1",),
    ("Content-Length: 0x5",),
    ("Content-Length: 5 5",),
    ("Content-Length : 5",),
    ("Transfer-Encoding: chunked, chunked",),
    ("Transfer-Encoding: xchunked",),
    ("Transfer-Encoding: gzip, chunked",),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ("Transfer-Encoding:\x0bchunked",),
    ("Transfer-Encoding : chunked",),
    ("X: y\rTransfer-Encoding: chunked",),
]


async def test_lengths_that_contradict_each_other_are_refused_and_no_second_request_is_seen(victim: Target) -> None:
    for headers in CONFLICTS:
        head = "\r\n".join(("POST /api/v1/session HTTP/1.1", HOST, *headers, "", "")).encode("latin-1")
        answer = await victim.exchange(head + b"0\r\n\r\n" + INNER.encode(), 5)
        assert answer.status in {400, 501}, headers
        assert answer.raw.count(b"HTTP/1.1 ") == 1, (headers, answer.raw)
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "body",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-1\r\n\r\n0\r\n\r\n",
        b"5;\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"fffffffffffffffffffff\r\nhello\r\n",
        b"5\r\nhelloX0\r\n\r\n",
        b"5 \r\nhelloo\r\n0\r\n\r\n",
    ],
)
async def test_chunks_that_are_none_end_the_connection(victim: Target, body: bytes) -> None:
    head = f"POST /api/v1/hosts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {victim.world.token}\r\n"
    answer = await victim.exchange(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body + INNER.encode(), 5)

    assert answer.raw.count(b"HTTP/1.1 2") == 0
    assert await victim.is_well()


async def test_a_folded_line_is_part_of_the_value_before_it(victim: Target) -> None:
    lines = ("POST /api/v1/hosts HTTP/1.1", "X: y", " Transfer-Encoding: chunked", HOST, "Content-Length: 0", "", "")
    head = "\r\n".join(lines)

    answer = await victim.exchange(head.encode() + b"0\r\n\r\n" + INNER.encode(), 5)

    assert (answer.status, answer.raw.count(b"HTTP/1.1 2")) == (401, 0)


async def test_a_request_after_an_upgrade_is_no_request(victim: Target) -> None:
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {'A' * 22}==",
    )
    head = "\r\n".join(("GET /ws HTTP/1.1", HOST, *upgrade, "", "")).encode()

    answer = await victim.exchange(head + INNER.encode(), 5)

    assert answer.status == 401
    assert answer.raw.count(b"HTTP/1.1 ") == 1


async def test_nothing_of_a_request_becomes_a_header_of_the_answer(victim: Target) -> None:
    for value in ("a%0d%0aX-Injected:%201", "a%0aX-Injected:%201", "a%c4%8aX-Injected:1"):
        for line in (
            f"GET /api/v1/plugins/{value} HTTP/1.1",
            f"GET /sign-in?{value} HTTP/1.1",
            f"GET /{value}/ HTTP/1.1",
        ):
            answer = await victim.ask(line, HOST)
            assert "x-injected" not in answer.headers
