"""The core's routes stay its own: a plugin that wants one of their names is refused, and told which."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import virtumancer
from tests.core.plugin_kit import action, info, load, plugin
from tests.http.access_kit import WEB, Plain, World
from virtumancer.api_base import API_BASE
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.http.routes import reserved_names

Claim = Callable[[str], ModuleType]


def transport(suffix: str) -> ModuleType:
    kind = type("Claiming", (Plain,), {"kind": "claimed", "suffix": suffix})
    return plugin(virtumancer_console_transports=lambda: [kind])


def acting(name: str) -> ModuleType:
    return plugin(virtumancer_vm_actions=lambda: [action(name)])


def test_the_names_that_no_plugin_takes_are_those_of_our_routes_below_a_vm() -> None:
    assert reserved_names() == {"actions", "consoles", "hardware", "metadata", "screenshot", "stats"}


def test_no_plugin_takes_a_name_that_the_core_has_below_a_vm() -> None:
    for segment in sorted(reserved_names()):
        for claim in (transport(segment), acting(segment)):
            refused = info(load(reserved=reserved_names(), claimer=claim), "claimer")
            assert (refused.state, refused.phase) == ("failed", "register"), segment
            assert repr(segment) in refused.reason


async def test_a_vm_links_to_every_route_below_it(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        links = (await world.admin.get(f"/hosts/a/vms/{WEB}")).json()["links"]

    assert set(links) == {"self", "host"} | reserved_names()


async def test_metadata_stay_metadata_beside_plugins_that_want_their_place(tmp_path: Path) -> None:
    claims = {"talking": transport("metadata"), "acting": acting("metadata")}
    async with World(tmp_path, claims) as world:
        path = f"/hosts/a/vms/{WEB}/metadata"
        assert (await world.admin.patch(path, json={"title": "Shop"})).status_code == 200
        assert (await world.admin.get(path)).json()["title"] == "Shop"
        assert {info["state"] for info in (await world.admin.get("/plugins")).json() if info["name"] in claims} == {
            "failed"
        }


def test_a_console_that_was_let_in_at_a_path_of_the_core_is_not_mounted(tmp_path: Path) -> None:
    unchecked = load(reserved=(), claimer=transport("metadata"))
    assert info(unchecked, "claimer").state == "active"
    config = load_config(None, {"HOME": str(tmp_path)}, {})
    with pytest.raises(RuntimeError, match=re.escape("/vms/{vm}/metadata")):
        create_app(config, unchecked)


def test_the_api_is_at_one_place_that_the_code_names_once() -> None:
    named = [
        file.name
        for file in Path(virtumancer.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and str(node.value).startswith(API_BASE)
    ]

    assert named == ["api_base.py"]


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
