"""The command line finds the server of its user by what only that user can have put there, and tells nobody else."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.confined import NOBODY
from tests.e2e.manager import PROGRAM, Manager
from tests.http.cli.program import Done, Program
from tests.lab import find_program, wait_until

pytestmark = pytest.mark.lab

# The Manager leaves it to the program then, whose default is to ask for a token.
CONFIG = "# no auth = here\n"
UNREACHABLE, USAGE = 5, 2
NewManager = Callable[..., Manager]


@contextmanager
def impostor(port: int) -> Iterator[list[bytes]]:
    """Somebody who listens on the port of a server that is down; yields what they are told."""
    heard: list[bytes] = []

    def answer(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                with caller:
                    heard.append(caller.recv(65536))

    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        yield heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def printed_by(*command: str) -> str:
    """Run something to its end."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def second_terminal(manager: Manager, folder: Path, **environment: str) -> Program:
    """The program as the same user runs it somewhere else, who has said nothing of a server."""
    return Program(folder, {"HOME": str(manager.folder), **environment})


async def test_a_second_terminal_finds_the_server_whatever_its_port_and_database(
    new_manager: NewManager, tmp_path: Path
) -> None:
    manager = new_manager(CONFIG)
    program = second_terminal(manager, tmp_path)

    assert (await program.run("hosts", "add", "play", "test:///default")).code == 0
    listed = await program.run("vms", "list")
    assert (listed.code, "play" in listed.out) == (0, True), listed
    assert (await program.run("me", "--json")).json["grants"] == [{"role": "admin"}]

    manager.kill()
    assert (await program.run("vms", "list")).code == UNREACHABLE
    manager.start()
    assert (await program.run("vms", "list")).code == 0
    manager.terminate()
    assert [*(manager.folder / ".local/state/virtumancer/run").iterdir()] == []


async def test_nobody_else_who_listens_on_its_port_is_told_anything(new_manager: NewManager, tmp_path: Path) -> None:
    manager = new_manager(CONFIG)
    token = (manager.folder / "virtumancer.admin-token").read_text().strip()
    manager.kill()
    said = {
        "VIRTUMANCER_SERVER_PORT": str(manager.port),
        "VIRTUMANCER_DATABASE_URL": f"sqlite://{manager.database}",
    }

    with impostor(manager.port) as heard:
        for more in (said, {**said, "VIRTUMANCER_TOKEN": token}, {}):
            done = await second_terminal(manager, tmp_path, **more).run("vms", "list")
            assert heard == []
            assert (done.code, "virtumancer serve" in done.err) == (UNREACHABLE, True), done
        in_its_folder = await second_terminal(manager, manager.folder).run("vms", "list")
        assert in_its_folder.code == UNREACHABLE

    assert heard == []


async def test_of_several_one_is_named(new_manager: NewManager, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    first, second = new_manager(CONFIG, env=home), new_manager(CONFIG, env=home)
    program = Program(tmp_path, home)

    asked = await program.run("hosts", "list")
    assert (asked.code, first.url in asked.err, second.url in asked.err) == (USAGE, True, True), asked
    [url] = [line.split("--url ")[1] for line in asked.err.splitlines() if second.url in line]
    assert (await program.run("hosts", "add", "play", "test:///default", "--url", url)).code == 0
    where = {"VIRTUMANCER_DATABASE_URL": f"sqlite://{second.database}"}
    assert [host["id"] for host in (await program.run("hosts", "list", "--json", **where)).json] == ["play"]
    second.kill()
    assert (await program.run("hosts", "list", "--json")).json == []
    other = await program.run("hosts", "list", **where)
    assert (other.code, first.url in other.err) == (UNREACHABLE, True), other


async def test_a_home_with_a_long_path_is_no_hindrance(new_manager: NewManager, tmp_path: Path) -> None:
    home = tmp_path / ("a home" * 30)
    home.mkdir()
    manager = new_manager(CONFIG, env={"HOME": str(home)})

    assert (await Program(tmp_path, {"HOME": str(home)}).run("hosts", "list")).code == 0
    [line] = [line.strip() for line in manager.log().splitlines() if line.strip().startswith("api()")]
    assert "--unix-socket" in line
    assert printed_by("sh", "-c", f"{line}\napi /hosts -w ' %{{http_code}}'") == "[] 200"


async def test_a_certificate_is_not_in_the_way(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=vms"]
    files = ["-keyout", str(key), "-out", str(cert)]
    printed_by(find_program("openssl"), *made, *files)
    manager = Manager(tmp_path / "manager")
    serve = ("serve", "--port", str(manager.port), "--tls-cert", str(cert), "--tls-key", str(key))
    program = Program(tmp_path, {})

    serving = await program.start(*serve, "--database", f"sqlite://{tmp_path}/v.db")
    try:
        socket_file = tmp_path / f".local/state/virtumancer/run/{manager.port}.sock"
        assert serving.stdout
        while b"api()" not in await serving.stdout.readline():
            assert serving.returncode is None
        assert socket_file.exists()
        assert (await program.run("hosts", "list")).code == 0
    finally:
        serving.terminate()
        await serving.wait()


@pytest.fixture
def strangers() -> Iterator[Path]:
    """A folder that two users meet in; those of tests are their user's alone."""
    folder = Path("/var/tmp") / f"virtumancer-strangers-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def as_nobody(home: Path, *arguments: str, **environment: str) -> Done:
    identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    # The environment that the program is installed in may be its owner's alone.
    identity += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUMANCER_", "XDG_", "COV"))}
    done = subprocess.run(
        ["setpriv", *identity, str(PROGRAM), *arguments],
        env={**kept, "HOME": str(home), **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_what_another_user_has_put_there_is_not_believed(new_manager: NewManager, strangers: Path) -> None:
    home = strangers / "home"
    home.mkdir()
    manager = new_manager(CONFIG, env={"HOME": str(home), "XDG_RUNTIME_DIR": str(strangers)})
    run = home / ".local/state/virtumancer/run"
    assert (run / f"{manager.port}.sock").exists()
    for path in (home, *home.rglob("*")):  # whoever wants to be found lets everybody in
        path.chmod(0o777)

    done = as_nobody(home, "hosts", "list", VIRTUMANCER_TOKEN="vmt_1_secret")
    assert (done.code, f"{run} belongs to user 0" in done.err) == (UNREACHABLE, True), done
    done = as_nobody(home, "hosts", "list", "--url", f"unix:{run}/{manager.port}.sock")
    assert (done.code, "belongs to user 0" in done.err) == (USAGE, True), done


async def test_root_finds_a_service_and_hands_it_no_file_but_its_own(new_manager: NewManager, strangers: Path) -> None:
    service, secret = strangers / "service", strangers / "secret"
    secret.write_text("root's own")
    secret.chmod(0o600)
    service.mkdir(mode=0o700)
    manager = new_manager(CONFIG, env={"RUNTIME_DIRECTORY": str(service)})
    token, record = manager.folder / "virtumancer.admin-token", service / f"{manager.port}.json"
    url = f"unix:{service}/{manager.port}.sock"
    for path in (service, *service.iterdir(), token):
        os.chown(path, NOBODY, NOBODY)
    program = Program(strangers, {})

    assert (await program.run("hosts", "list", "--url", url)).code == 0
    record.write_text(record.read_text().replace(str(token), str(secret)))
    refused = await program.run("hosts", "list", "--url", url)
    assert (refused.code, f"{secret} is no file of user {NOBODY}" in refused.err) == (USAGE, True), refused
    record.write_text(record.read_text().replace(str(secret), str(token)))


def test_the_link_that_signs_a_browser_in_is_printed_to_a_terminal_only(tmp_path: Path) -> None:
    with Manager(tmp_path / "log", CONFIG) as manager:
        assert "serves on" in manager.log()
        assert "/sign-in/#" not in manager.log()
        assert "virtumancer api POST /session/links" in manager.log()
    with Manager(tmp_path / "terminal", CONFIG, at_terminal=True) as manager:
        wait_until(lambda: f"{manager.url}/sign-in/#" in manager.log(), "the link is printed")
        assert "/session/links" not in manager.log()
