"""A real browser shows the API: every operation of the document, and a sign-in first for who is nobody."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.consoles.chromium import Chromium, Tab
from tests.e2e.manager import Manager
from tests.lab.requirements import requires

pytestmark = pytest.mark.lab
METHODS = {"get", "post", "put", "patch", "delete"}
DRAWN = "document.getElementById('operations').ariaBusy === null"
VISIBLE = "[...document.querySelectorAll('.operation:not([hidden])')].map(one => one.id)"
FIND_RESET = """() => {
  const find = document.getElementById('find');
  find.value = 'forcereset';
  find.dispatchEvent(new Event('input'));
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    requires("chromium")
    with Chromium() as browser:
        yield browser


def opened(chromium: Chromium, manager: Manager, fragment: str = "") -> Tab:
    tab = chromium.open(f"{manager.url}/api/v1/docs/{fragment}")
    deadline = time.monotonic() + 15
    while not tab.evaluate(DRAWN):
        assert time.monotonic() < deadline, "the page was never drawn"
        time.sleep(0.05)
    return tab


def test_every_operation_is_shown_and_found(chromium: Chromium, tmp_path: Path) -> None:
    with Manager(tmp_path, '[server]\nauth = "off"\n') as manager, opened(chromium, manager, "#addHost") as tab:
        paths = manager.get("/openapi.json").json()["paths"]
        wanted = {one["operationId"] for methods in paths.values() for key, one in methods.items() if key in METHODS}
        tab.save_screenshot(tmp_path / "api.png")
        assert set(tab.evaluate(VISIBLE)) == wanted
        assert tab.evaluate("document.getElementById('addHost').open")
        assert "Nothing is stored when the connection fails" in tab.evaluate("document.body.innerText")

        tab.evaluate(FIND_RESET)
        assert tab.evaluate(VISIBLE) == ["forceresetVm"]


def test_who_is_nobody_is_sent_to_sign_in(chromium: Chromium, tmp_path: Path) -> None:
    with Manager(tmp_path, '[server]\nauth = "token"\n') as manager, opened(chromium, manager) as tab:
        assert tab.evaluate(VISIBLE) == []
        assert tab.evaluate("document.querySelector('#message a').pathname") == "/sign-in/"
