"""A real browser signs in, with the printed link, with a password and at an OpenID provider, and out."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Error as PlaywrightError

from tests.canaries import CANARIES
from tests.e2e.consoles.chromium import Chromium, Tab
from tests.e2e.manager import Manager
from tests.lab import OpenIDProvider, wait_until
from tests.lab.requirements import requires

pytestmark = pytest.mark.lab
PASSWORD = CANARIES.plant("password")
SIGNED_IN = "!document.getElementById('signed-in').hidden"
SIGNED_OUT = "!document.getElementById('sign-in').hidden"
STATUS = "async () => (await fetch('/api/v1/hosts')).status"
SOCKET = """() => new Promise(done => {
  const socket = new WebSocket('/ws'.replace(/^/, location.origin.replace('http', 'ws')));
  socket.onopen = () => { done('open'); socket.close(); };
  socket.onerror = () => done('refused');
})"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    requires("chromium")
    with Manager(tmp_path / "manager", '[server]\nauth = "token"\n', at_terminal=True) as manager:
        yield manager


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


def _until(tab: Tab, expression: str) -> None:
    """Wait without what the page's own policy forbids, which is why `wait_for` cannot be used here."""
    deadline = time.monotonic() + 15
    while not _holds(tab, expression):
        assert time.monotonic() < deadline, f"it never came to be: {expression}"
        time.sleep(0.05)


def _holds(tab: Tab, expression: str) -> bool:
    try:
        return bool(tab.evaluate(expression))
    except PlaywrightError as error:
        if "context was destroyed" not in str(error):
            raise
        return False  # it is on its way to another page


def _fill(tab: Tab, user: str, password: str) -> None:
    script = "const form = document.getElementById('sign-in'); form.user.value = '{}'; form.password.value = '{}';"
    tab.evaluate("() => {" + script.format(user, password) + " form.requestSubmit(); }")


def test_by_the_link_that_is_printed_and_once(manager: Manager, chromium: Chromium, tmp_path: Path) -> None:
    wait_until(lambda: "/sign-in/#" in manager.log(), "the link is printed")
    [link] = re.findall(r"http://127\.0\.0\.1:\d+/sign-in/#\S+", manager.log())

    with chromium.open(link) as tab:
        _until(tab, SIGNED_IN)
        tab.save_screenshot(tmp_path / "signed-in.png")
        assert "token admin@" in tab.evaluate("document.getElementById('actor').textContent")
        assert tab.evaluate("location.hash + document.cookie") == ""
        assert tab.evaluate(STATUS) == 200
        assert tab.evaluate(SOCKET) == "open"
        tab.evaluate("document.getElementById('sign-out').click()")
        _until(tab, SIGNED_OUT)
        assert tab.evaluate(STATUS) == 401
        assert tab.evaluate(SOCKET) == "refused"

    with chromium.open(link) as tab:
        _until(tab, SIGNED_OUT)
        assert "not valid" in tab.evaluate("document.getElementById('message').textContent")
    assert manager.log().count(link.partition("#")[2]) == 1


def test_by_password(manager: Manager, chromium: Chromium, tmp_path: Path) -> None:
    token = (manager.folder / "virtumancer.admin-token").read_text().strip()
    alice = {"name": "alice", "password": PASSWORD, "grants": [{"role": "viewer"}]}
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx2.post(f"{manager.url}/api/v1/users", json=alice, headers=headers, trust_env=False).status_code == 201

    with chromium.open(f"{manager.url}/sign-in/") as tab:
        _until(tab, SIGNED_OUT)
        tab.save_screenshot(tmp_path / "form.png")
        _fill(tab, "alice", "wrong")
        _until(tab, "document.getElementById('message').textContent === 'name or password is wrong'")
        _fill(tab, "alice", PASSWORD)
        _until(tab, SIGNED_IN)
        assert tab.evaluate("document.getElementById('actor').textContent") == "user alice"
        assert tab.evaluate(STATUS) == 200
        assert tab.evaluate("async () => (await fetch('/api/v1/users')).status") == 403
        made = httpx2.post(f"{manager.url}/api/v1/session/links", headers=headers, trust_env=False).json()
        tab.evaluate(f"void setTimeout(() => {{ location.href = '{made['path']}'; location.reload(); }})")
        _until(tab, "document.getElementById('replace')?.hidden === false")
        tab.save_screenshot(tmp_path / "foreign-link.png")
        assert "token admin@" in tab.evaluate("document.getElementById('message').textContent")
        assert tab.evaluate("document.getElementById('actor').textContent") == "user alice"
        tab.evaluate("document.getElementById('replace').click()")
        _until(tab, "document.getElementById('actor').textContent.startsWith('token admin@')")
        assert tab.evaluate("document.getElementById('replace').hidden")
        assert tab.evaluate("async () => (await fetch('/api/v1/users')).status") == 200
    assert PASSWORD not in manager.log()


def _sign_in_elsewhere(tab: Tab, provider: OpenIDProvider, user: str) -> None:
    """Follow the link of our page, fill in the provider's form, and come back."""
    _until(tab, "!document.getElementById('elsewhere').hidden")
    tab.evaluate("void setTimeout(() => document.querySelector('#elsewhere a').click())")
    _until(tab, f"location.href.startsWith('{provider.issuer}') && document.forms.length === 1")
    script = "const form = document.forms[0]; form.user.value = '{0}'; form.password.value = 'password of {0}';"
    tab.evaluate("() => {" + script.format(user) + " setTimeout(() => document.getElementById('allow').click()); }")
    _until(tab, "location.pathname === '/sign-in/' && document.readyState === 'complete'")


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
def test_at_an_openid_provider(address: str, chromium: Chromium, tmp_path: Path) -> None:
    requires("chromium")
    with OpenIDProvider(tmp_path) as provider:
        manager = Manager(tmp_path / "manager", env={"CLIENT_SECRET": provider.client_secret})
        url = f"http://{address}:{manager.port}"
        manager.configure(
            f"""
[server]
auth = "token"
[oidc]
issuer = "{provider.issuer}"
client_id = "{provider.client_id}"
client_secret = "env:CLIENT_SECRET"
public_url = "{url}"
name = "Example Corp"
[oidc.roles]
vm-viewers = [{{ role = "viewer" }}]
"""
        )
        with manager, chromium.open(f"{url}/sign-in/") as tab:
            _until(tab, SIGNED_OUT)
            _sign_in_elsewhere(tab, provider, "mallory")
            _until(tab, "document.getElementById('message').textContent.startsWith('You are in no group')")
            tab.save_screenshot(tmp_path / "no-group.png")
            _sign_in_elsewhere(tab, provider, "bob")
            _until(tab, SIGNED_IN)
            tab.save_screenshot(tmp_path / "signed-in.png")
            assert tab.evaluate("document.getElementById('actor').textContent") == "oidc bob (77-bob)"
            assert tab.evaluate("location.search + document.cookie") == ""
            assert tab.evaluate(STATUS) == 200
            assert tab.evaluate(SOCKET) == "open"
            assert tab.evaluate("async () => (await fetch('/api/v1/users')).status") == 403
            tab.evaluate("document.getElementById('sign-out').click()")
            _until(tab, SIGNED_OUT)
            assert tab.evaluate(STATUS) == 401
        assert provider.client_secret not in manager.log()
