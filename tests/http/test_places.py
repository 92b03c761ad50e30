"""The core's routes stay its own: a plugin that wants one of their names is refused, and told which."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.core.plugin_kit import action, info, load, plugin
from tests.http.access_kit import WEB, Plain, World
from virtumancer.http import routes
from virtumancer.http.requests import BodyReader
from virtumancer.plugins import places

Claim = Callable[[str], ModuleType]
VM = "/api/v1/hosts/{host:segment}/vms/{vm:segment}/"


class Table:
    """Takes routes as an application does."""

    def __init__(self) -> None:
        self.router_options = SimpleNamespace(converters={})
        self.paths: list[str] = []

    def add_route(self, path: str, resource: object) -> None:
        self.paths.append(path)


def transport(suffix: str) -> ModuleType:
    kind = type("Claiming", (Plain,), {"kind": "claimed", "suffix": suffix})
    return plugin(virtumancer_console_transports=lambda: [kind])


def acting(name: str) -> ModuleType:
    return plugin(virtumancer_vm_actions=lambda: [action(name)])


async def test_no_plugin_takes_a_name_that_the_core_has_below_a_vm(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        table: Any = Table()
        routes.add_routes(table, world.application._services, BodyReader(1024), asked=True)
        below = [path.removeprefix(VM).partition("/")[0] for path in table.paths if path.startswith(VM)]
    own = {segment for segment in below if not segment.startswith("{")} - {Plain.suffix}
    assert {"actions", "metadata", "stats"} <= own
    for segment in sorted(own):
        for claim in (transport(segment), acting(segment)):
            refused = info(load(claimer=claim), "claimer")
            assert (refused.state, refused.phase) == ("failed", "register"), segment
            assert repr(segment) in refused.reason


async def test_metadata_stay_metadata_beside_plugins_that_want_their_place(tmp_path: Path) -> None:
    claims = {"talking": transport("metadata"), "acting": acting("metadata")}
    async with World(tmp_path, claims) as world:
        path = f"/hosts/a/vms/{WEB}/metadata"
        assert (await world.admin.patch(path, json={"title": "Shop"})).status_code == 200
        assert (await world.admin.get(path)).json()["title"] == "Shop"
        assert {info["state"] for info in (await world.admin.get("/plugins")).json() if info["name"] in claims} == {
            "failed"
        }


async def test_a_route_below_a_vm_that_is_not_in_the_list_is_not_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "BELOW_VM", places.BELOW_VM - {"metadata"})
    with pytest.raises(RuntimeError, match="metadata"):
        World(tmp_path)


@pytest.mark.parametrize(("one", "two"), [(acting, transport), (transport, acting)])
def test_an_action_and_a_console_of_one_name_are_refused(one: Claim, two: Claim) -> None:
    plugins = load(aaa=one("watch"), bbb=two("watch"))
    refused = info(plugins, "bbb")
    assert (info(plugins, "aaa").state, refused.state) == ("active", "failed")
    assert all(word in refused.reason for word in ("'watch'", "'aaa'", "'bbb'"))


def test_an_action_and_a_console_of_one_name_in_one_plugin_are_refused() -> None:
    kind = type("Claiming", (Plain,), {"kind": "claimed", "suffix": "watch"})
    both = plugin(virtumancer_vm_actions=lambda: [action("watch")], virtumancer_console_transports=lambda: [kind])
    refused = info(load(both=both), "both")
    assert refused.state == "failed"
    assert "'watch'" in refused.reason
