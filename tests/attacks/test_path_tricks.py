"""Names and paths that mean one thing to whoever checks them and another to whoever uses them."""

from pathlib import Path

from tests.attacks.kit import Target
from virtumancer.contracts import VMState

# As they stand on the wire.
TRICKS = [
    "..",
    "%2e%2e",
    ".%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2F",
    "%252F",
    "%252e%252e",
    "..%5c..%5cetc%5cpasswd",
    "web%00",
    "%00",
    "web%0d%0aX-Injected:%201",
    "%c0%ae%c0%ae%c0%af",
    "%e0%80%af",
    "%f8%80%80%80%af",
    "%c1%9c",
    "%ed%a0%80",
    "%ff",
    "%",
    "%zz",
    "%u002e",
    "w%D0%B5b",
    "%EF%BD%97eb",
    "we%CC%81b",
    "%E2%80%AEbew",
    "web%E2%80%8B",
    "web;x=1",
    "web.",
    "web%20",
    "WEB",
    "a" * 4000,
]


async def test_no_trick_reaches_a_vm_or_a_host_of_another_name(victim: Target) -> None:
    for name in TRICKS:
        for method, path in (
            ("GET", f"/api/v1/hosts/{name}"),
            ("DELETE", f"/api/v1/hosts/{name}"),
            ("GET", f"/api/v1/hosts/a/vms/{name}/hardware"),
            ("POST", f"/api/v1/hosts/a/vms/{name}/forceoff"),
            ("POST", f"/api/v1/hosts/a/vms/web/{name}"),
            ("DELETE", f"/api/v1/tokens/{name}"),
            ("GET", f"/sign-in/{name}"),
        ):
            answer = await victim.ask(f"{method} {path} HTTP/1.1", "Host: localhost")
            assert answer.status in {400, 404, 405}, (method, path, answer.status)
            assert answer.code != "internal-error"
            assert "x-injected" not in answer.headers
            assert b"root:" not in answer.body

    assert sorted(victim.world.application.services.hosts.ids()) == ["a", "b"]
    vms = (await victim.world.admin.get("/hosts/a/vms")).json()
    assert {vm["name"]: vm["state"] for vm in vms} == {"web": 1, "db": 1}


NAMES = ["a/b", "..", ".", "a%2Fb", "%", "a\\b", "a b", "ü", "a?b", "a#b", "a;b", "w\u0435b", "-rf", "$(id)", "<b>"]


async def test_a_vm_that_is_called_like_a_trick_is_reached_under_its_name_alone(victim: Target) -> None:
    defined = {name: victim.world.a.define(name).uuid for name in NAMES}
    for done, (name, uuid) in enumerate(defined.items(), 1):
        path = "/api/v1/hosts/a/vms/" + "".join(f"%{byte:02X}" for byte in name.encode())

        seen = await victim.ask(f"GET {path}/actions HTTP/1.1", "Host: localhost")
        started = await victim.ask(f"POST {path}/start HTTP/1.1", "Host: localhost", "Content-Length: 0")

        assert (seen.status, started.status) == (200, 204), name
        assert victim.world.a.vms[uuid].state is VMState.RUNNING
        assert sum(victim.world.a.vms[other].state is VMState.RUNNING for other in defined.values()) == done


ONE_PATH = (
    "//api/v1/hosts",
    "/api//v1/hosts",
    "/api/v1/../v1/hosts",
    "/api/v1/hosts/",
    "/API/v1/hosts",
    "/./api/v1/hosts",
)


async def test_there_is_one_path_to_a_thing(victim: Target) -> None:
    for path in ONE_PATH:
        assert (await victim.ask(f"GET {path} HTTP/1.1", "Host: localhost")).status == 404, path


HOSTS = ("../x", "a/b", "a\0", "\u0430", "a\u202e", "A" * 64, ".%2e", "a\r\nb", "\U0001f600", " a", "a ")


async def test_a_host_cannot_be_called_like_a_trick(victim: Target) -> None:
    for host in HOSTS:
        answer = await victim.world.admin.post("/hosts", json={"id": host, "uri": "fake://a"})
        assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "id"), host


async def test_nothing_of_the_machine_is_named_in_what_is_answered(victim: Target, tmp_path: Path) -> None:
    for path in ("/sign-in/..%2f..%2fpaths.py", "/sign-in/%2e%2e/", f"/sign-in/{tmp_path}", "/sign-in//etc/passwd"):
        answer = await victim.ask(f"GET {path} HTTP/1.1", "Host: localhost")
        assert answer.status == 404
        assert b"site-packages" not in answer.body
        assert b"core/virtumancer" not in answer.body
