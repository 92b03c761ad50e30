"""The client and the command line drive a real host, through every endpoint that there is."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.consoles.guests import LinuxGuest, start_linux
from tests.e2e.manager import Manager
from tests.forks import Forks
from tests.http.cli.program import Program
from tests.lab import LinuxKernel, PrivateLibvirtd, PrivateSshd, find_program, plain_definition, wait_until
from tests.lab.requirements import requires
from virtumancer.client import Client, Console, succeeded
from virtumancer.contracts import CloseCode, VMState
from virtumancer.contracts.access import Grant
from virtumancer.errors import ConsoleRefused, VirtumancerError

pytestmark = pytest.mark.lab

CONFIG = '[server]\nauth = "token"\n'
REQUEST = re.compile(r"request .*?method=(\w+).*? path=(\S+)")
CONSOLE = re.compile(r"console opened .*?kind=(\w+)")
SUFFIXES = {"vnc": "console", "serial": "serial", "spice": "spice"}
NETWORKS = "a type of resource of a plugin: tests/plugins/networks"
ELSEWHERE = {
    "PATCH /api/v1/hosts/{host}": "for drivers that have credentials: tests/http/test_credentials.py",
    "WEBSOCKET /api/v1/hosts/{host}/vms/{vm}/spice": "its viewers speak SPICE: tests/e2e/consoles",
    "WEBSOCKET /api/v1/ws": "the socket of the original's page: tests/e2e/test_original_client.py",
    "WEBSOCKET /ws": "the socket of the original's page: tests/e2e/test_original_client.py",
    "GET /livez": "for what supervises the server: tests/http/test_health.py",
    "GET /readyz": "for what supervises the server: tests/http/test_health.py",
    "GET /api/v1/session": "for a page in a browser: tests/e2e/test_sign_in_page.py",
    "POST /api/v1/session": "for a page in a browser: tests/e2e/test_sign_in_page.py",
    "DELETE /api/v1/session": "for a page in a browser: tests/e2e/test_sign_in_page.py",
    "GET /api/v1/session/oidc/start": "for a page in a browser: tests/http/oidc/test_oidc.py",
    "GET /api/v1/session/oidc/callback": "for a page in a browser: tests/http/oidc/test_oidc.py",
    "DELETE /api/v1/sessions/{session}": "ends the session of a browser: tests/http/test_sign_in.py",
    "PUT /api/v1/me/password": "for a user in a browser, who has no token: tests/http/test_sign_in.py",
    "GET /api/v1/hosts/{host}/networks": NETWORKS,
    "GET /api/v1/hosts/{host}/networks/{network}": NETWORKS,
    "GET /api/v1/hosts/{host}/networks/{network}/leases": NETWORKS,
    "GET /api/v1/hosts/{host}/networks/{network}/leases/{lease}": NETWORKS,
    **{
        f"POST /api/v1/hosts/{{host}}/vms/{{vm}}/{action}": "guests that are suspended: tests/e2e/test_suspending.py"
        for action in ("pause", "resume", "wakeup", "dropsave")
    },
}
"""What no test here drives, and why."""


class Lab(NamedTuple):
    """A manager that asks for tokens, its host's daemon and sshd, and a Linux on that host."""

    manager: Manager
    libvirtd: PrivateLibvirtd
    sshd: PrivateSshd
    linux: LinuxGuest
    token: str

    def program(self, folder: Path, forks: Forks | None = None) -> Program:
        return Program(folder, {"VIRTUMANCER_URL": self.manager.url, "VIRTUMANCER_TOKEN": self.token}, forks)

    def client(self) -> Client:
        return Client(self.manager.url, token=self.token)

    @property
    def uri(self) -> str:
        """The host, whose key nobody vouches for."""
        return f"qemu+ssh://root@127.0.0.1:{self.sshd.port}/system?keyfile={self.sshd.user_key}"


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory,
    libvirtd: PrivateLibvirtd,
    kvm1_sshd: PrivateSshd,
    linux_kernel: LinuxKernel,
) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("client")
    linux = start_linux(libvirtd, linux_kernel, "cli-linux")
    libvirtd.define(plain_definition("cli-off"))
    try:
        with Manager(folder / "manager", CONFIG) as manager:
            token = manager.database.with_suffix(".admin-token").read_text().strip()
            yield Lab(manager, libvirtd, kvm1_sshd, linux, token)
    finally:
        for name in ("cli-linux", "cli-off"):
            if libvirtd.state(name) != "shut off":
                libvirtd.destroy(name)
            libvirtd.virsh("undefine", name)


async def test_the_program_adds_a_host_after_asking_about_its_key(lab: Lab, tmp_path: Path, forks: Forks) -> None:
    program = lab.program(tmp_path)
    alone = await program.run("hosts", "add", "kvm1", lab.uri)
    assert alone.code == 6
    assert lab.sshd.host_key_fingerprint in alone.err
    async with lab.program(tmp_path, forks).at_terminal("hosts", "add", "kvm1", lab.uri) as terminal:
        await terminal.shows("Type yes")
        assert lab.sshd.host_key_fingerprint in terminal.shown
        terminal.type("yes\n")
        assert await terminal.ends() == 0
    (host,) = (await program.run("hosts", "list", "--json")).json
    assert (host["id"], host["state"]) == ("kvm1", "connected")
    (key,) = (await program.run("hosts", "keys", "kvm1", "--json")).json
    assert key["fingerprint"] == lab.sshd.host_key_fingerprint


async def test_the_program_finds_the_server_of_its_machine_by_itself(lab: Lab, tmp_path: Path) -> None:
    where = {
        "VIRTUMANCER_SERVER_PORT": str(lab.manager.port),
        "VIRTUMANCER_DATABASE_URL": f"sqlite://{lab.manager.database}",
        "VIRTUMANCER_SERVER_AUTH": "token",
    }
    told = await Program(tmp_path, where).run("me", "--json")
    assert told.json["grants"] == [{"role": "admin"}]
    stranger = await Program(tmp_path, {"VIRTUMANCER_URL": lab.manager.url}).run("hosts", "list")
    assert stranger.code == 4
    assert "--token-file" in stranger.err


async def test_the_program_shows_and_acts_on_vms(lab: Lab, tmp_path: Path) -> None:
    program = lab.program(tmp_path)
    shown = await program.run("vms", "list")
    assert re.search(r"^kvm1 +cli-linux +running", shown.out, re.M), shown
    assert (await program.run("vms", "show", "cli-linux")).code == 0
    assert (await program.run("vms", "stats", "cli-linux", "--json")).json["state"] == 1
    assert "start" in (await program.run("vms", "actions", "cli-off")).out
    assert (await program.run("vms", "screenshot", "cli-linux", "screen.png")).code == 0
    assert (tmp_path / "screen.png").read_bytes().startswith(b"\x89PNG")
    started = await program.run("vms", "start", "cli-off", "--wait")
    assert started.code == 0, started.err
    assert lab.libvirtd.state("cli-off") == "running"
    both = await program.run("vms", "forceoff", "cli-off", "kvm1/cli-off", "--if-already-ok", "--wait", "--json")
    assert [outcome["outcome"] for outcome in both.json] == ["ok"]
    assert lab.libvirtd.state("cli-off") == "shut off"
    many = await program.run("vms", "start", "cli-off", "cli-linux", "--if-already-ok", "--json")
    assert {outcome["name"]: outcome["outcome"] for outcome in many.json} == {"cli-off": "ok", "cli-linux": "already"}
    (operation, *_) = (await program.run("operations", "list", "--json")).json
    assert (await program.run("operations", "show", operation["id"])).code == 0
    assert (await program.run("operations", "wait", operation["id"])).code == 0
    assert (await program.run("operations", "cancel", operation["id"])).code == 4


async def test_the_serial_console_is_a_shell_in_the_terminal(lab: Lab, tmp_path: Path, forks: Forks) -> None:
    async with lab.program(tmp_path, forks).at_terminal("console", "cli-linux") as terminal:
        await terminal.shows("Ctrl-] ends it")
        terminal.type("seq -s x 41 43\r")
        await terminal.shows("41x42x43")
        terminal.type("\x1d")
        assert await terminal.ends() == 0
        assert terminal.is_as_before


@pytest.mark.parametrize("viewer", ["gvnccapture", "vncsnapshot"])
async def test_a_viewer_of_the_desktop_sees_the_screen_at_the_local_port(lab: Lab, tmp_path: Path, viewer: str) -> None:
    requires(viewer)
    process = await lab.program(tmp_path).start("console", "cli-linux", "--vnc", "--once")
    assert process.stdout
    port = int((await process.stdout.readline()).decode().strip().rpartition(":")[2])
    flags = ["-quiet", "-nocursor"] if viewer == "vncsnapshot" else ["--quiet"]
    file = tmp_path / ("screen.jpg" if viewer == "vncsnapshot" else "screen.png")
    command = [find_program(viewer), *flags, f"127.0.0.1:{port - 5900}", str(file)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_size > 1000
    async with asyncio.timeout(30):
        assert await process.wait() == 0


def test_the_client_reads_everything_about_a_host(lab: Lab) -> None:
    with lab.client() as client:
        assert client.server.health().ok
        assert {plugin.name for plugin in client.server.plugins()} >= {"libvirt", "power"}
        assert client.server.plugin("libvirt").state.value == "active"
        assert "POST /api/v1/hosts" in {record.what for record in client.server.audit(limit=1000).records}
        assert client.hosts.get("kvm1").driver == "libvirt"
        assert client.hosts.info("kvm1").cpu > 0
        assert client.hosts.samples("kvm1") == ()
        names = {vm.name for vm in client.vms.list("kvm1")}
        assert {"cli-linux", "cli-off"} <= names == {row.name for row in client.vms.rows("kvm1")}
        assert client.vms.hardware("kvm1", "cli-linux").disks == ()
        assert client.vms.stats("kvm1", "cli-linux").state is VMState.RUNNING
        kinds = {console.kind for console in client.consoles.of_vm("kvm1", "cli-linux")}
        assert {"vnc", "serial"} <= kinds


def test_every_built_in_action_reaches_the_hypervisor(lab: Lab) -> None:
    with lab.client() as client:
        client.vms.act("kvm1", "cli-off", "start", wait_for="running", if_already="ok")
        for action in ("reboot", "forcereset", "shutdown"):
            client.vms.act("kvm1", "cli-off", action)
        result = client.vms.act("kvm1", "cli-off", "forceoff", wait_for="shutoff", if_already="ok")
        assert lab.libvirtd.state("cli-off") == "shut off"
        assert result is None or result.state is VMState.SHUTOFF


def test_the_client_is_told_of_what_virsh_does(lab: Lab) -> None:
    with lab.client() as client:
        *_, last = client.events.kept()
        lab.libvirtd.virsh("start", "cli-off")
        for event in client.events.follow(since=last.id, types=["vm.*"]):
            if (event.name, event.type) == ("cli-off", "vm.started"):
                break
        lab.libvirtd.destroy("cli-off")
        page = client.vms.find(filter='name = "cli-off"', fresh=True)
        assert [(vm.host, vm.state) for vm in page.items] == [("kvm1", VMState.SHUTOFF)]


def test_the_client_waits_for_operations_and_gives_them_up(lab: Lab) -> None:
    with lab.client() as client:
        begun = client.vms.begin("kvm1", "cli-off", "forceoff", wait_for="shutoff", if_already="ok")
        assert succeeded(client.operations.wait(begun.id)).target.name == "cli-off"
        waiting = client.vms.begin("kvm1", "cli-linux", "start", wait_for="shutoff", if_already="ok", timeout=300)
        wait_until(lambda: client.operations.get(waiting.id).cancellable, "the operation can be cancelled", 10)
        client.operations.cancel(waiting.id)
        assert client.operations.wait(waiting.id, timeout=30).state.value == "cancelled"


def test_the_client_types_into_a_console_and_ends_sessions(lab: Lab) -> None:
    with lab.client() as client, client.consoles.open("kvm1", "cli-linux", "serial") as console:
        console.write(b"seq -s y 51 53\r")
        seen = b""
        while b"51y52y53" not in seen:
            seen += console.read()
        (session,) = client.consoles.list()
        assert client.consoles.get(session.id).kind == "serial"
        client.consoles.end(session.id)
        with pytest.raises(ConsoleRefused) as raised:
            read_all(console)
    assert raised.value.close_code == CloseCode.ENDED


def read_all(console: Console) -> None:
    while console.read():
        pass


def test_the_client_gives_and_withdraws_access(lab: Lab) -> None:
    viewer = [Grant(role="viewer")]
    with lab.client() as client:
        made = client.access.make_token("for a test", viewer)
        with Client(lab.manager.url, token=made.token) as other:
            assert other.access.me().grants == tuple(viewer)
        assert client.access.token(made.info.id).name == "for a test"
        client.access.change_token(made.info.id, [Grant(role="operator")])
        client.access.remove_token(made.info.id)
        client.access.make_user("alice", "a long password", viewer)
        assert client.access.user("alice").grants == tuple(viewer)
        client.access.change_user("alice", password="another long password")
        assert [user.name for user in client.access.users()] == ["alice"]
        client.access.remove_user("alice")
        assert client.access.web_sessions() == ()
        assert client.access.sign_in_link().path.startswith("/")
        assert made.info.id not in {token.id for token in client.access.tokens()}


def test_the_client_writes_metadata(lab: Lab) -> None:
    with lab.client() as client:
        assert client.hosts.actions("kvm1") == ()
        assert {found.name for found in client.server.resources()} == {"networks", "leases"}
        assert client.hosts.set_metadata("kvm1", title="Rack 4", tags=["lab"]).title == "Rack 4"
        assert client.hosts.change_metadata("kvm1", notes="noisy").tags == ("lab",)
        assert client.hosts.metadata("kvm1").notes == "noisy"
        assert client.vms.set_metadata("kvm1", "cli-off", tags=["night"]).tags == ("night",)
        assert client.vms.change_metadata("kvm1", "cli-off", title="Off").tags == ("night",)
        assert client.vms.metadata("kvm1", "cli-off").title == "Off"
        begun = client.vms.begin_on_many("start", tags=["night"], if_already="ok")
        (outcome,) = client.operations.wait(begun.id).outcomes
        assert (outcome.name, outcome.outcome) == ("cli-off", "ok")


def test_the_client_decides_about_host_keys(lab: Lab) -> None:
    fingerprint = lab.sshd.host_key_fingerprint
    with lab.client() as client:
        assert fingerprint in {key.fingerprint for key in client.hosts.scan_new(lab.uri)}
        assert [key.trust for key in client.hosts.scan("kvm1") if key.fingerprint == fingerprint] == ["pinned"]
        client.hosts.remove_host_key("kvm1", fingerprint)
        assert client.hosts.host_keys("kvm1") == ()
        assert client.hosts.approve_host_key("kvm1", fingerprint).fingerprint == fingerprint
        with pytest.raises(VirtumancerError):
            client.hosts.rotate_host_key("kvm1", old=fingerprint, new=f"SHA256:{'A' * 43}")
        assert [key.fingerprint for key in client.hosts.host_keys("kvm1")] == [fingerprint]


def test_the_client_disconnects_connects_and_removes_a_host(lab: Lab) -> None:
    with lab.client() as client:
        assert client.hosts.disconnect("kvm1").state.value == "stopped"
        assert client.hosts.connect("kvm1").state.value == "connected"
        begun = client.hosts.begin_add("again", lab.uri, host_keys=[lab.sshd.host_key_fingerprint])
        succeeded(client.operations.wait(begun.id))
        client.hosts.remove("again")
        assert [host.id for host in client.hosts.list()] == ["kvm1"]


def test_every_endpoint_was_driven(lab: Lab) -> None:
    with lab.client() as client:
        document = client.server.openapi()
    known = {name for path, methods in document["paths"].items() for name in _names(path, methods)}
    driven = {_template(method, path, known) for method, path in REQUEST.findall(lab.manager.log())}
    driven |= {
        f"WEBSOCKET /api/v1/hosts/{{host}}/vms/{{vm}}/{SUFFIXES[kind]}" for kind in CONSOLE.findall(lab.manager.log())
    }
    assert sorted(known - driven - set(ELSEWHERE)) == []
    assert sorted(set(ELSEWHERE) - known) == [], "exceptions that are none any more"


def _names(path: str, methods: dict[str, Any]) -> Iterator[str]:
    for method, operation in methods.items():
        if isinstance(operation, dict) and "operationId" in operation:
            yield f"{'WEBSOCKET' if operation.get('x-websocket') else method.upper()} {path}"


def _template(method: str, path: str, known: set[str]) -> str:
    """Return the operation that a request was for: the one with the fewest places to fill in."""
    fitting = [
        name
        for name in known
        if name.startswith(f"{method} ")
        and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(name.partition(" ")[2])), path)
    ]
    return min(fitting, key=lambda name: name.count("{"), default="")
