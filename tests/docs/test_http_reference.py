"""The HTTP reference names every route, error code and message of the socket, and no other."""

import re

import pytest
from msgspec import structs
from virtumancer_reference import PARTS
from virtumancer_reference.error_codes import error_codes, problems
from virtumancer_reference.objects import OBJECTS

from tests.docs.pages import page
from virtumancer.errors import UsageError
from virtumancer.http.api_paths import VM_PATH
from virtumancer.http.endpoint import WEBSOCKET, endpoints_of
from virtumancer.http.resources import refresh as ws
from virtumancer.http.resources.consoles import ConsoleSocket
from virtumancer.http.routes import core_endpoints

BUILT_IN_SUFFIXES = ("console", "spice", "serial")
OPENED = endpoints_of(ConsoleSocket)[WEBSOCKET]


@pytest.fixture
def routes() -> set[str]:
    records = [*core_endpoints(), *(structs.replace(OPENED, path=VM_PATH / suffix) for suffix in BUILT_IN_SUFFIXES)]
    return {f"{record.verb} {path}" for record in records for path in (record.path, *record.also_at)}


def test_every_route_has_a_section_and_every_section_a_route(routes: set[str]) -> None:
    documented = re.findall(r"^### `([A-Z]+ /[^`]*)`$", page("reference/http-api"), re.M)

    assert sorted(documented) == sorted(routes)


def test_every_error_code_is_in_the_generated_tables() -> None:
    tables = PARTS["error-codes"][1]() + PARTS["start-up-errors"][1]()

    assert {kind.code for kind, _ in problems()} == set(re.findall(r"^\| `([a-z-]+)` \|", tables, re.M))


def test_a_client_is_told_what_to_do_about_every_error_code_of_an_answer() -> None:
    advice = page("reference/error-codes").partition("## What a client does")[2]

    missing = {
        kind.code for kind, _ in problems() if not issubclass(kind, UsageError) and f"`{kind.code}`" not in advice
    }

    assert missing == set()


def test_every_object_that_a_route_names_is_described() -> None:
    described = {struct.__name__.lower() for struct in OBJECTS}

    assert set(re.findall(r"\]\(#(\w+)\)", page("reference/http-api"))) <= described


def test_every_action_of_the_built_in_plugins_is_described() -> None:
    plugins = [pytest.importorskip(name) for name in ("virtumancer_power", "virtumancer_suspend")]

    actions = {action.name for plugin in plugins for action in plugin.virtumancer_vm_actions()}

    section = (
        page("reference/http-api").partition("### `POST /api/v1/hosts/{host}/vms/{vm}/{action}`")[2].partition("###")[0]
    )
    assert actions == set(re.findall(r"^\| `(\w+)` \|", section, re.M))


@pytest.mark.parametrize("code", [ws.CLOSE_SLOW, ws.CLOSE_TOO_MANY])
def test_every_close_code_of_the_socket_is_described(code: int) -> None:
    assert f"| {code} |" in page("reference/websocket")


def test_the_refresh_message_is_quoted_exactly() -> None:
    assert f"`{ws.REFRESH}`" in page("reference/websocket")


def test_the_number_of_subscriptions_is_the_limit_of_the_code() -> None:
    assert f"more than {ws.MAX_SUBSCRIPTIONS} subscriptions" in page("reference/websocket")


def test_the_error_table_gives_each_code_its_status() -> None:
    table = error_codes()

    assert "| `host-key-unknown` | 409 Conflict |" in table
    assert "| `host-unreachable` | 502 Bad Gateway |" in table
