"""Every answer, whoever gives it, tells browsers to run nothing, frame nothing and guess no type."""

from pathlib import Path

import httpx2

from tests.attacks.certificates import self_signed
from tests.attacks.kit import Answer, Target, target

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'A' * 22}==")
REQUESTS: list[tuple[str, tuple[str, ...], int]] = [
    ("GET /api/v1/hosts HTTP/1.1", (), 200),
    ("GET /api/v1/openapi.json HTTP/1.1", (), 200),
    ("HEAD /api/v1/health HTTP/1.1", (), 200),
    ("GET /sign-in HTTP/1.1", (), 308),
    ("GET /sign-in/ HTTP/1.1", (), 200),
    ("GET /sign-in/sign-in.js HTTP/1.1", (), 200),
    ("GET /sign-in/none HTTP/1.1", (), 404),
    ("GET / HTTP/1.1", (), 404),
    ("GET /api/v1/hosts/none HTTP/1.1", (), 404),
    ("OPTIONS /api/v1/hosts HTTP/1.1", (), 200),
    ("PATCH /api/v1/hosts HTTP/1.1", (), 405),
    ("TRACE /api/v1/hosts HTTP/1.1", (), 405),
    ("POST /api/v1/hosts HTTP/1.1", ("Content-Length: 0",), 400),
    ("POST /api/v1/hosts HTTP/1.1", ("Content-Length: 99999999",), 413),
    ("POST /api/v1/hosts HTTP/1.1", ("Content-Length: 0", "Origin: http://evil.example"), 403),
    ("GET /ws HTTP/1.1", ("Origin: http://evil.example", *UPGRADE), 403),
    ("GET /nothing HTTP/1.1", UPGRADE, 404),
    ("GET /api/v1/hosts/none/vms/x/plain HTTP/1.1", UPGRADE, 404),
    ("GET /ws HTTP/1.1", (), 426),
    ("NONSENSE", (), 400),
    ("GET / HTTP/5.0", (), 505),
]


def is_safe(answer: Answer) -> bool:
    policy = answer.headers.get("content-security-policy", "")
    return (
        policy.startswith("default-src '")
        and "unsafe" not in policy
        and "frame-ancestors 'none'" in policy
        and answer.headers.get("x-content-type-options") == "nosniff"
        and answer.headers.get("referrer-policy") == "no-referrer"
        and answer.headers.get("cross-origin-resource-policy") == "same-origin"
        and "server" not in answer.headers
        and "x-powered-by" not in answer.headers
    )


async def test_whatever_is_asked_the_answer_is_safe(victim: Target) -> None:
    for line, headers, status in REQUESTS:
        # It is known that there is a body when its first byte has come.
        body = b"{" if "Content-Length: 99999999" in headers else b""
        answer = await victim.ask(line, "Host: localhost", *headers, body=body)
        assert is_safe(answer), (line, answer.raw[:500])
        assert answer.status == status, (line, answer.raw[:300])


async def test_without_a_token_too(victim: Target) -> None:
    for path in ("/api/v1/hosts", "/api/v1/me", "/api/v1/consoles"):
        answer = await victim.exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert (answer.status, is_safe(answer)) == (401, True)


async def test_behind_tls_browsers_are_told_to_come_back_with_it(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    flags = {"server.tls_cert": str(cert), "server.tls_key": str(key)}
    async with (
        target(tmp_path, **flags) as victim,
        httpx2.AsyncClient(base_url=victim.url, verify=False, trust_env=False) as client,
    ):
        for path in ("/api/v1/health", "/nothing", "/sign-in/", "/" + "a" * 9000):
            assert "strict-transport-security" in (await client.get(path)).headers, path
