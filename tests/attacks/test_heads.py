"""Heads that are too long, have too many headers, or are none: refused with the status that says which."""

import pytest

from tests.attacks.kit import Target

LINE = b"GET /api/v1/health HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\n" + HOST, 414),
        (b"GET /" + b"a" * 100_000, 414),
        (b"GET /?" + b"a=1&" * 4000 + b" HTTP/1.1\r\n" + HOST, 414),
        (LINE + HOST + b"X: 1\r\n" * 100, 431),
        (LINE + HOST + b"X: " + b"a" * 8100 + b"\r\n", 431),
        (LINE + HOST + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 300) for i in range(60)), 431),
        (LINE + HOST + b"Cookie: " + b"a" * 100_000, 431),
        (LINE + HOST + b"X: " + b"a" * 7900 + b"\r\n", 200),
        (LINE + HOST + b"X: 1\r\n" * 90, 200),
    ],
    ids=[
        "long target",
        "endless first line",
        "long query",
        "many headers",
        "long header",
        "long together",
        "endless header",
        "long but right",
        "many but right",
    ],
)
async def test_a_head_has_its_limits(victim: Target, head: bytes, status: int) -> None:
    end = b"Connection: close\r\n\r\n" if head.endswith(b"\n") else b""

    answer = await victim.exchange(head + end)

    assert answer.status == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x00" * 100 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTQ/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET /\xe2\x80\xae HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["TLS", "no target", "no HTTP", "no colon", "space", "NUL", "NUL in a header", "not ASCII"],
)
async def test_what_is_no_request_is_400(victim: Target, data: bytes) -> None:
    answer = await victim.exchange(data)

    assert (answer.status, answer.code) == (400, "invalid-request")
    assert await victim.is_well()


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"3.7"])
async def test_another_version_of_http_is_505(victim: Target, version: bytes) -> None:
    answer = await victim.exchange(b"GET / HTTP/" + version + b"\r\nHost: localhost\r\n\r\n")

    assert (answer.status, answer.code) == (505, "invalid-request")


@pytest.mark.parametrize("size", [7_000, 7_990, 8_000, 9_000, 20_000])
async def test_an_upgrade_that_is_too_long_for_a_websocket_is_refused_calmly(victim: Target, size: int) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"

    answer = await victim.exchange(b"GET /ws HTTP/1.1\r\n" + HOST + upgrade + b"X: " + b"a" * size + b"\r\n\r\n")

    assert 400 <= answer.status < 500
    assert await victim.is_well()


async def test_a_compressed_body_is_not_unpacked(victim: Target) -> None:
    for encoding in ("gzip", "deflate", "br", "identity, gzip"):
        answer = await victim.ask(
            "POST /api/v1/hosts HTTP/1.1",
            "Host: localhost",
            f"Content-Encoding: {encoding}",
            "Content-Length: 2",
            body=b"\x1f\x8b",
        )
        assert (answer.status, answer.code) == (415, "unknown-encoding")
