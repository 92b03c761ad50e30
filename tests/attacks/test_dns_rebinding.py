"""A name of the attacker's that leads to this server: whatever is asked under it is refused."""

from tests.attacks.kit import Target

PATHS = ("/api/v1/health", "/api/v1/hosts", "/api/v1/openapi.json", "/sign-in/", "/ws", "/", "/nothing")
FOREIGN = [
    "evil.example",
    "evil.example:8890",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.example.",
    "localhost.",
    "localhost@evil.example",
    "evil.example#localhost",
    "evil.example\\localhost",
    "[::ffff:192.0.2.1]",
    "0.0.0.0",
    "192.0.2.1",
    "2130706433",
    "0x7f.1",
    "[::1",
    "loc\xe4lhost",
    "*",
]


async def test_every_path_is_refused_under_a_foreign_name(victim: Target) -> None:
    for host in FOREIGN:
        for path in PATHS:
            answer = await victim.ask(f"GET {path} HTTP/1.1", f"Host: {host}")
            assert answer.status in {400, 421}, (host, path)
            assert answer.code in {"invalid-request", "misdirected-request"}


async def test_a_socket_is_refused_under_a_foreign_name_also_for_its_own_page(victim: Target) -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    named = ("Host: evil.example", "Origin: http://evil.example", f"Sec-WebSocket-Key: {'A' * 22}==")
    lines = ("GET /ws HTTP/1.1", *named, *upgrade, f"Authorization: Bearer {victim.world.token}", "", "")

    answer = await victim.exchange("\r\n".join(lines).encode())

    assert (answer.status, answer.code) == (421, "misdirected-request")


OTHER_WAYS: list[tuple[str, tuple[str, ...]]] = [
    ("GET /api/v1/hosts HTTP/1.1", ()),
    ("GET /api/v1/hosts HTTP/1.0", ()),
    ("GET /api/v1/hosts HTTP/1.1", ("Host: localhost", "Host: evil.example")),
    ("GET /api/v1/hosts HTTP/1.1", ("Host: evil.example", "Host: localhost")),
    ("GET /api/v1/hosts HTTP/1.1", ("Host: localhost, evil.example",)),
    ("GET /api/v1/hosts HTTP/1.1", ("Host: evil.example", "X-Forwarded-Host: localhost")),
    ("GET /api/v1/hosts HTTP/1.1", ("Host: evil.example", "Forwarded: host=localhost")),
    ("GET http://evil.example/api/v1/hosts HTTP/1.1", ("Host: evil.example",)),
    ("GET http://localhost/api/v1/hosts HTTP/1.1", ("Host: evil.example",)),
    ("GET http://evil.example/api/v1/hosts HTTP/1.1", ("Host: localhost",)),
]


async def test_no_other_way_to_name_a_server_gets_in(victim: Target) -> None:
    for line, headers in OTHER_WAYS:
        answer = await victim.ask(line, *headers)
        assert answer.status in {400, 404, 421}, (line, headers)
        assert b'"uri"' not in answer.body


async def test_names_of_this_machine_are_served(victim: Target) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9", "[::1]:8890"):
        assert (await victim.ask("GET /api/v1/hosts HTTP/1.1", f"Host: {host}")).status == 200, host
