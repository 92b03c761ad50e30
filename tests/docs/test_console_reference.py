"""What the pages say about consoles is what the code does."""

import re
from importlib import import_module

import pytest
from virtumancer_reference import PARTS

from tests.docs.pages import page
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import CloseCode, ConsoleTransport
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import server_settings
from virtumancer.services.consoles.tickets import LIFETIME

CONSOLES = page("reference/consoles")


def test_every_close_code_is_explained() -> None:
    table = PARTS["close-codes"][1]()

    assert re.findall(r"^\| `(\d+)` \|", table, re.M) == [str(code.value) for code in sorted(CloseCode)]


def test_a_client_is_told_what_to_do_after_every_close_code() -> None:
    advice = CONSOLES.partition("| code | the client |")[2].partition("\n\n")[0]
    codes = {int(code) for line in advice.splitlines() for code in re.findall(r"\d{4}", line.partition(" | ")[0])}

    assert codes == set(CloseCode)


def test_every_close_code_in_the_pages_exists() -> None:
    pages = ("reference/consoles", "reference/http-api", "how-to/open-a-console", "how-to/write-a-plugin")
    quoted = {int(code) for name in pages for code in re.findall(r"\b4[45]\d\d\b", page(name))}

    assert quoted <= set(CloseCode)


@pytest.mark.parametrize("plugin", ["vnc", "spice", "serial"])
def test_a_built_in_console_has_its_row(plugin: str) -> None:
    (transport,) = import_module(f"virtumancer_{plugin}").virtumancer_console_transports()
    assert issubclass(transport, ConsoleTransport)
    viewers = "several" if transport.shareable else "one"

    row = re.search(rf"^\| `{transport.kind}` \| `…/{transport.suffix}` \|.*\| (\w+) \| `{plugin}` \|$", CONSOLES, re.M)

    assert row
    assert row[1] == viewers


def test_a_ticket_lives_as_long_as_it_is_said_to() -> None:
    assert f"within {LIFETIME.seconds} seconds" in CONSOLES
    assert f"for {LIFETIME.seconds} seconds" in page("how-to/open-a-console")


def test_pings_go_out_as_often_as_it_is_said() -> None:
    config = load_config(None, {}, {"database.url": "sqlite://:memory:", "server.auth": "off"})
    settings = server_settings(
        create_app(config, load_plugins(["libvirt", "power", "serial", "spice", "suspend", "vnc"]))
    )

    assert settings.ws_ping_interval == settings.ws_ping_timeout == 20
    assert "pings every 20 seconds. A viewer that does not answer for 20 more is gone" in CONSOLES
