"""The places that plugins ask for outside their own: what no server could have, and who gets which."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.core.plugin_kit import info, load, plugin
from virtumancer.contracts import Mount, Route, RouteRequest, StaticFiles
from virtumancer.http.routes import reserved_names


async def _answer(request: RouteRequest) -> bytes:
    return b"ok"


def route(**more: Any) -> Route:
    values: dict[str, Any] = {"method": "GET", "path": "", "summary": "It", "handle": _answer, "answer": bytes}
    return Route(**(values | {"media": "text/plain"} | more))


def mounting(path: str = "/metrics", name: str = "it", content: Any = None) -> ModuleType:
    mount = Mount(name=name, path=path, content=content or route())
    return plugin(virtumancer_mounts=lambda: [mount])


@pytest.mark.parametrize(
    "path", ["", "metrics", "/metrics/", "//metrics", "/a//b", "/../etc", "/.git", "/{host}", "/ü"]
)
def test_a_path_that_no_server_could_have_is_refused(path: str) -> None:
    refused = info(load(odd=mounting(path)), "odd")
    assert (refused.state, refused.phase) == ("failed", "register")
    assert "the mount 'it' is not usable" in refused.reason


@pytest.mark.parametrize("path", ["/api", "/api/v1/metrics", "/api/v2", "/livez", "/readyz/more", "/sign-in"])
def test_a_place_of_the_server_is_refused_with_the_cure(path: str) -> None:
    refused = info(load(reserved=reserved_names(), greedy=mounting(path)), "greedy")
    assert (refused.state, refused.phase) == ("failed", "register")
    assert f"the path {path!r} of the mount 'it' is the server's own" in refused.reason
    assert refused.reason.endswith("give it another in plugins.mounts")


@pytest.mark.parametrize(("first", "second"), [("/x", "/x"), ("/x", "/x/y"), ("/x/y", "/x"), ("/", "/")])
def test_two_at_one_place_or_within_another_are_refused_with_both_names(first: str, second: str) -> None:
    plugins = load(aaa=mounting(first, "one"), bbb=mounting(second, "two"))
    refused = info(plugins, "bbb")
    assert (info(plugins, "aaa").state, refused.state) == ("active", "failed")
    assert all(word in refused.reason for word in ("'aaa'", "'bbb'", "'one'", "'two'", "plugins.mounts"))


def test_what_is_at_the_root_leaves_the_rest_to_others(tmp_path: Path) -> None:
    page = StaticFiles(path="", directory=tmp_path)
    plugins = load(aaa=mounting("/", "page", page), bbb=mounting("/metrics"), ccc=mounting("/metrics2"))
    assert {"/", "/metrics", "/metrics2"} == set(plugins.mounts)
    assert info(plugins, "aaa").mounts == ("GET /…",)
    assert info(plugins, "bbb").mounts == ("GET /metrics",)


def test_the_operator_moves_a_mount_or_refuses_it() -> None:
    wanted = {"aaa": {"it": "/elsewhere"}, "bbb": {"it": ""}}
    plugins = load(mounts=wanted, aaa=mounting(), bbb=mounting(), ccc=mounting())
    assert {path: owner for path, (owner, _) in plugins.mounts.items()} == {"/elsewhere": "aaa", "/metrics": "ccc"}
    assert [info(plugins, name).state for name in ("aaa", "bbb", "ccc")] == ["active"] * 3
    assert info(plugins, "bbb").mounts == ()


def test_a_bad_path_of_the_operator_is_told_as_one_of_the_plugin_is() -> None:
    plugins = load(reserved=reserved_names(), mounts={"aaa": {"it": "/api/v1"}}, aaa=mounting())
    assert "'/api/v1' of the mount 'it' is the server's own" in info(plugins, "aaa").reason


def test_a_word_of_the_operator_about_no_mount_is_doubted() -> None:
    plugins = load(mounts={"aaa": {"metrcis": ""}, "absent": {"it": ""}}, aaa=mounting(name="metrics"))
    assert plugins.doubts == ("plugins.mounts: plugin 'aaa' asks for no mount 'metrcis'; did you mean metrics?",)


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        (Mount(name="It", path="/x", content=route()), "the name 'It' of a mount is not usable"),
        (Mount(name="it", path="/x", content=route(path="y")), "the path of its content is 'y', it has to be empty"),
        (Mount(name="it", path="/x", content=3), "content is int, Route or StaticFiles is needed"),  # type: ignore[arg-type]
        (Mount(name="it", path="/x", content=route(media="x")), "the mount 'it': media = 'x'"),
        (
            Mount(name="it", path="/x", content=StaticFiles("", Path("/nowhere"))),
            "no folder /nowhere for the mount 'it'",
        ),
        (
            Mount(name="it", path="/x", content=StaticFiles("", Path("/etc"), fallback="none.html")),
            "there is no file 'none.html' to fall back on",
        ),
        (Mount(name="it", path="/", content=route(method="POST")), "only what is read can be at /"),
    ],
)
def test_a_mount_that_could_not_be_served_is_refused(mount: Mount, reason: str) -> None:
    refused = info(load(odd=plugin(virtumancer_mounts=lambda: [mount])), "odd")
    assert (refused.state, refused.phase) == ("failed", "register")
    assert reason in refused.reason


def test_one_name_twice_is_refused() -> None:
    twice = [Mount(name="it", path=path, content=route()) for path in ("/x", "/y")]
    assert "'it' is there twice" in info(load(odd=plugin(virtumancer_mounts=lambda: twice)), "odd").reason
