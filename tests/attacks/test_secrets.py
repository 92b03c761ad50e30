"""Secrets of every kind, put into one running server, are in no log, answer, record, event or column."""

import base64
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from tests.canaries import Canaries
from tests.e2e.manager import PROGRAM, Manager
from tests.lab import PrivateSshd, wait_until
from tests.lab.requirements import requires
from tests.plugins.libvirt.nodes import Guest, write_node
from tests.plugins.libvirt.ssh.kit import make_key

pytestmark = pytest.mark.lab

CONFIG = """
[server]
auth = "token"
[sessions]
retry_min = 0.2
connect_timeout = 3
[oidc]
issuer = "http://127.0.0.1:1"
client_id = "virtumancer"
client_secret = "env:OIDC_SECRET"
public_url = "http://127.0.0.1:2"
roles = {{ admins = [{{ role = "admin" }}] }}
[[hosts]]
id = "declared"
uri = "qemu+ssh://root@127.0.0.1:1/system"
[[hosts]]
id = "node"
uri = "{node}"
"""


class Siege:
    """A server full of secrets, and all that it answered."""

    def __init__(self, manager: Manager, canaries: Canaries) -> None:
        self.manager = manager
        self.canaries = canaries
        self.answers: list[bytes] = []
        self.admin = manager.database.with_suffix(".admin-token").read_text().strip()
        canaries.learn("token", self.admin)

    def ask(self, method: str, path: str, *, shows: tuple[str, ...] = (), **options: Any) -> httpx2.Response:
        """Send a request as the administrator; the secrets that its answer `shows` once are learned from it."""
        headers = {"Authorization": f"Bearer {self.admin}"} | options.pop("headers", {})
        answer = self.manager.client.request(method, path, headers=headers, **options)
        if shows:
            for key in shows:
                self.canaries.learn(key, answer.json()[key])
        else:
            self.answers.append(f"{answer.headers}".encode() + answer.content)
        return answer

    def audit(self) -> bytes:
        environment = self.manager.environment() | {"VIRTUMANCER_DATABASE_URL": f"sqlite://{self.manager.database}"}
        command = [PROGRAM, "audit", "export"]
        return subprocess.run(
            command, cwd=self.manager.folder, env=environment, capture_output=True, check=True, timeout=60
        ).stdout

    def found(self) -> dict[str, list[str]]:
        """Where which kinds of secrets stand in clear."""
        files = self.manager.folder.glob("virtumancer.db*")
        places = {
            "answers": b"\n".join(self.answers),
            "log": self.manager.log().encode(),
            "audit": self.audit(),
            "database": b"".join(file.read_bytes() for file in files if file.is_file()),
        }
        return {name: kinds for name, place in places.items() if (kinds := self.canaries.found_in(place))}


@pytest.fixture
def canaries() -> Canaries:
    """Secrets of one test, which it may leak on purpose."""
    return Canaries()


@pytest.fixture
def siege(tmp_path: Path, canaries: Canaries) -> Iterator[Siege]:
    requires("sshd", "ssh-keygen", "unshare", "nsenter")
    node = write_node(tmp_path / "node.xml", [Guest("web", graphics=["vnc"])])
    file = tmp_path / "node.xml"
    file.write_text(file.read_text().replace("type='vnc'", f"type='vnc' passwd='{canaries.plant_short('vnc')}'"))
    environment = {"OIDC_SECRET": canaries.plant("oidc"), "UNRELATED_SECRET": canaries.plant("environment")}
    manager = Manager(tmp_path / "manager", CONFIG.format(node=node), env=environment)
    with manager:
        try:
            yield Siege(manager, canaries)
        finally:
            manager.kill()  # what it leaves on purpose is no concern of the end in order


def sign_in(siege: Siege, credentials: dict[str, str]) -> str:
    """Sign in as a browser does, and return its cookie."""
    origin = {"Origin": siege.manager.url}
    answer = httpx2.post(f"{siege.manager.url}/api/v1/session", json=credentials, headers=origin, trust_env=False)
    assert answer.status_code == 200, answer.text
    siege.answers.append(answer.content)
    cookie = answer.headers["set-cookie"].partition(";")[0]
    siege.canaries.learn("cookie", cookie)
    return cookie


def use_everything(siege: Siege) -> None:
    """Hand out every kind of secret, and use it where it belongs."""
    password = siege.canaries.plant("password")
    grants = [{"role": "admin"}]
    key = {"Idempotency-Key": "one"}
    for _ in range(2):  # the second answer is that of the first
        siege.ask("POST", "/users", json={"name": "alice", "password": password, "grants": grants}, headers=key)
    keyed = {"Idempotency-Key": "two"}
    made = siege.ask("POST", "/tokens", shows=("token",), json={"name": "t", "grants": grants}, headers=keyed).json()
    again = siege.ask("POST", "/tokens", json={"name": "t", "grants": grants}, headers=keyed)
    assert again.status_code == 409, "a secret is shown once"
    siege.ask("GET", "/me", headers={"Authorization": f"Bearer {made['token']}"})
    sign_in(siege, {"link": siege.ask("POST", "/session/links", shows=("path",)).json()["path"].partition("#")[2]})
    cookie = sign_in(siege, {"user": "alice", "password": password})
    siege.ask("GET", "/session", headers={"Cookie": cookie, "Authorization": ""})
    new = siege.canaries.plant("password")
    browser = {"Cookie": cookie, "Authorization": "", "Origin": siege.manager.url}
    siege.ask("PUT", "/me/password", json={"old": password, "new": new}, headers=browser)
    ticket = siege.ask("POST", "/hosts/node/vms/web/consoles", json={"kind": "vnc"})
    if ticket.status_code == 201:
        siege.answers.pop()
        siege.canaries.learn("ticket", ticket.json()["ticket"])
        siege.ask("GET", "/hosts/node/vms/web/console", params={"ticket": ticket.json()["ticket"]})


def misuse_everything(siege: Siege, key: Path, port: int) -> None:
    """Put secrets where they are refused, and where they do not belong."""
    canaries = siege.canaries
    uri, password = canaries.plant("uri"), canaries.plant("password")
    locked = f"qemu+ssh://root@127.0.0.1:{port}/system?keyfile={key}"
    uris = [f"qemu+ssh://root:{uri}@127.0.0.1/system", f"qemu+ssh://root@127.0.0.1/system?password={uri}", locked]
    uris += [f"qemu+tcp://root:{uri}@127.0.0.1:1/system", f"esx://root:{uri}@127.0.0.1/?no_verify=1", f"x://{uri}:a@b"]
    for wanted in uris:
        siege.ask("POST", "/hosts", json={"id": "secret", "uri": wanted})
    credential = canaries.plant("credential")
    for credentials in ({"password": credential}, {credential: "password"}, credential, [credential]):
        siege.ask("POST", "/hosts", json={"id": "secret", "uri": locked, "credentials": credentials})
        siege.ask(
            "PATCH", "/hosts/node", json={"credentials": credentials}, headers={"Idempotency-Key": credential[:9]}
        )
        siege.ask("POST", "/hosts", json={"id": "secret", "uri": wanted}, headers={"Prefer": "respond-async"})
        siege.ask("POST", "/host-keys/scan", json={"uri": wanted})
    typed = ({"user": "alice", "password": password}, {"user": "alice", "password": [password]}, {"user": password})
    for credentials in (*typed, {"user": password, "password": ""}):
        siege.ask("POST", "/session", json=credentials, headers={"Origin": siege.manager.url})
    siege.ask("POST", "/session", content=f'{{"user": "alice", "password": "{password}')
    siege.ask("POST", "/users", json={"name": "/", "password": password, "grants": []})
    siege.ask("POST", "/users", json={"name": "bob", "password": password * 20, "grants": []})
    siege.ask("PUT", "/me/password", json={"old": password, "new": password, "more": 1})
    stray = canaries.plant("token")
    basic = base64.b64encode(f"alice:{password}".encode()).decode()
    for scheme in (f"Bearer {stray}", f"Bearer vmt_00000000_{stray}", f"Basic {basic}", stray):
        siege.ask("GET", "/hosts", headers={"Authorization": scheme})
    siege.ask(
        "GET", "/hosts", headers={"Authorization": "", "Cookie": f"virtumancer={stray}; __Host-virtumancer={stray}"}
    )
    for path in ("/nothing", "/hosts", "/hosts/node/vms/web/console", "/session/oidc", "/session/oidc/callback"):
        for name in ("token", "ticket", "access_token", "password", "code", "state"):
            siege.ask("GET", path, params={name: stray})


def ask_for_all(siege: Siege) -> None:
    """Ask for every path of the document, and send nonsense with secrets to those that take something."""
    document = siege.ask("GET", "/openapi.json").json()
    password = siege.canaries.plant("password")
    body = {"password": password, "token": password, "uri": f"qemu+ssh://a:{password}@b/system", "host_key": 7}
    for path, operations in document["paths"].items():
        below = path.removeprefix("/api/v1").replace("{host}", "node").replace("{vm}", "web")
        if not path.startswith("/api/v1"):
            continue
        for method in operations:
            place = below.replace("{action}", "reset").replace("{fingerprint}", "x")
            for name in ("user", "token", "operation", "session", "plugin", "key", "tag", "webhook"):
                place = place.replace(f"{{{name}}}", "none")
            if method == "get" and "events" not in place:
                siege.ask("GET", place)
            elif method in {"post", "put", "patch"}:
                siege.ask(method.upper(), place, json=body)


def break_the_database(siege: Siege) -> None:
    """Spoil rows and take tables away under the server, while people hand secrets in."""
    password = siege.canaries.plant("password")
    credentials = {"user": "alice", "password": password}
    origin = {"Origin": siege.manager.url}
    with closing(sqlite3.connect(siege.manager.database, timeout=10)) as database:
        database.execute("UPDATE users SET created_at = 'never', password_at = 'never'")
        database.commit()
        siege.ask("POST", "/session", json=credentials, headers=origin)
        for table in ("users", "console_tickets", "web_sessions"):
            database.execute(f"ALTER TABLE {table} RENAME TO gone_{table}")
        database.commit()
    user: dict[str, object] = {"name": "carol", "password": password, "grants": []}
    siege.ask("POST", "/users", json=user)
    siege.ask("POST", "/users", json=user, headers={"Idempotency-Key": "three"})
    siege.ask("POST", "/session", json=credentials, headers=origin)
    siege.ask("POST", "/session/links")
    siege.ask("POST", "/hosts/node/vms/web/consoles", json={"kind": "vnc"})


def test_no_secret_stands_anywhere_in_clear(siege: Siege, tmp_path: Path) -> None:
    frames: list[str] = []
    bearer = {"Authorization": f"Bearer {siege.admin}"}
    with PrivateSshd(tmp_path / "sshd") as sshd, connect(siege.manager.ws_url, additional_headers=bearer) as socket:
        key = make_key(tmp_path / "locked", passphrase=siege.canaries.plant("passphrase"))
        use_everything(siege)
        misuse_everything(siege, key, sshd.port)
        ask_for_all(siege)
        break_the_database(siege)
        while True:
            try:
                frames.append(str(socket.recv(timeout=1)))
            except TimeoutError:
                break
        told = siege.ask("GET", "/events", headers={"Accept": "application/json"}, params={"since": "0"})
        assert told.json()["items"], "otherwise nothing was told"
    siege.answers.append("".join(frames).encode())

    assert siege.found() == {}
    assert b"store-unavailable" in b"".join(siege.answers), "otherwise nothing was broken"


def test_the_search_finds_a_secret_in_each_of_these_places(siege: Siege) -> None:
    probe = siege.canaries.plant("probe")
    siege.ask("PATCH", "/hosts/node/metadata", json={"title": probe})
    siege.ask("DELETE", f"/hosts/{probe}")
    siege.ask("GET", f"/nothing/{probe}")

    assert siege.found() == {place: ["probe"] for place in ("answers", "log", "audit", "database")}


@pytest.mark.parametrize(
    "config",
    [
        '[oidc]\nissuer = "http://me:{}@idp.example"',
        '[oidc]\nissuer = "http://127.0.0.1:1"\nclient_secret = "{}"',
        '[[hosts]]\nid = "a"\nuri = "qemu+ssh://root:{}@kvm1/system"\nhost_key = 7',
        '[[hosts]]\nid = "a"\nuri = "qemu+ssh://root:{}@kvm1/system"',
        'server.admin_token = "{}"',
    ],
)
def test_a_start_that_is_refused_repeats_no_secret_of_the_configuration(
    tmp_path: Path, canaries: Canaries, config: str
) -> None:
    (tmp_path / "virtumancer.toml").write_text(config.format(canaries.plant("configuration")))
    manager = Manager(tmp_path)

    ended = subprocess.run(
        [PROGRAM, "serve", "--port", str(manager.port)],
        cwd=tmp_path,
        env=manager.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2, ended.stderr
    assert canaries.found_in(ended.stdout + ended.stderr) == []


def lives(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/livez", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def test_a_start_that_waits_for_its_database_repeats_no_secret_of_the_url(tmp_path: Path, canaries: Canaries) -> None:
    url = f"postgresql://me:{canaries.plant('database')}@127.0.0.1:1/db"
    (tmp_path / "virtumancer.toml").write_text(f'database.url = "{url}"')
    manager = Manager(tmp_path)
    command = [PROGRAM, "serve", "--port", str(manager.port)]
    log = tmp_path / "log"

    with log.open("wb") as output:
        waiting = subprocess.Popen(command, cwd=tmp_path, env=manager.environment(), stdout=output, stderr=output)
    try:
        wait_until(lambda: lives(manager.url), "it serves and waits", timeout=60, pause=0.2)
    finally:
        waiting.terminate()
        status = waiting.wait(30)

    said = log.read_bytes()
    assert (status, b"the database is waited for" in said) == (0, True)
    assert canaries.found_in(said) == []
