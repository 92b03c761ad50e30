"""Loading a plugin takes all of it or nothing, in time, whatever it does meanwhile."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pluggy import HookspecMarker

from tests.core.plugin_kit import action, info, load, plugin
from virtumancer import hookspecs
from virtumancer.contracts import (
    ConsoleTransport,
    Event,
    EventListener,
    HostDriver,
    PluginState,
    RetirementWarning,
    Route,
    RouteRequest,
    StaticFiles,
    StatsCollector,
    VMAction,
    retired,
)


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """An event that comes when the test is over, so that no thread of it stays."""
    event = threading.Event()
    yield event
    event.set()


class Listener(EventListener):
    name = "listener"

    async def on_event(self, event: Event) -> None:
        """Nothing."""


async def answer(request: RouteRequest) -> None:
    """Nothing."""


def route(path: str = "things", method: Any = "GET", **other: Any) -> Route:
    return Route(method=method, path=path, summary="A thing.", **{"handle": answer, **other})


def test_a_plugin_that_hangs_in_a_hook_is_given_up(never: threading.Event) -> None:
    def hang() -> list[VMAction]:
        never.wait()
        return [action("late")]

    began = time.monotonic()
    plugins = load(
        timeout=0.2,
        hangs=plugin(virtumancer_vm_actions=hang),
        works=plugin(virtumancer_vm_actions=lambda: [action("wave")]),
    )

    refused = info(plugins, "hangs")
    assert time.monotonic() - began < 5
    assert (refused.state, refused.phase) == (PluginState.FAILED, "collect")
    assert refused.reason == "it did not finish within 0.2 s while answering its hooks"
    assert set(plugins.actions) == {"wave"}


def test_what_a_given_up_plugin_does_later_does_not_count(never: threading.Event) -> None:
    done = threading.Event()

    def hang() -> list[VMAction]:
        never.wait()
        done.set()
        return [action("late")]

    plugins = load(timeout=0.1, hangs=plugin(virtumancer_vm_actions=hang))
    never.set()
    assert done.wait(5)

    assert not plugins.actions
    assert info(plugins, "hangs").actions == ()


def test_a_plugin_that_hangs_while_it_is_imported_is_given_up(installed: Callable[..., None]) -> None:
    installed("sleeper", "import time; time.sleep(1)")

    refused = info(load(timeout=0.2), "sleeper")

    assert (refused.state, refused.phase) == (PluginState.FAILED, "import")
    assert "while being imported" in refused.reason


def test_two_modules_that_import_each_other_are_told_so(installed: Callable[..., None], tmp_path: Path) -> None:
    installed("ring", "from ring_other import x\ny = 1")
    (tmp_path / "ring_other.py").write_text("from ring_module import y\nx = 1")

    refused = info(load(), "ring")

    assert (refused.state, refused.phase) == (PluginState.FAILED, "import")
    assert "two of its modules import each other" in refused.reason


def test_a_module_that_a_plugin_lacks_is_told_from_the_plugin_itself(installed: Callable[..., None]) -> None:
    installed("needy", "import nothing_of_that_name")

    refused = info(load(), "needy")

    assert refused.state is PluginState.FAILED
    assert "the plugin is there, but not the module nothing_of_that_name" in refused.reason


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, BaseException])
def test_whatever_a_hook_raises_stays_its_own_trouble(error: type[BaseException]) -> None:
    def hook() -> list[VMAction]:
        raise error

    refused = info(load(bad=plugin(virtumancer_vm_actions=hook)), "bad")

    assert (refused.state, refused.phase) == (PluginState.FAILED, "collect")
    assert error.__name__ in refused.reason


def test_hooks_may_return_objects_as_well_as_classes() -> None:
    listener = Listener()

    plugins = load(
        one=plugin(virtumancer_event_listeners=lambda: [listener]),
        two=plugin(virtumancer_event_listeners=lambda: [type("Other", (Listener,), {"name": "other"})]),
    )

    assert plugins.listeners["listener"] == ("one", listener)
    assert plugins.listeners["other"][0] == "two"
    assert info(plugins, "one").listeners == ("listener",)


def test_a_listener_name_that_two_plugins_claim_is_refused_with_both_owners() -> None:
    plugins = load(
        one=plugin(virtumancer_event_listeners=lambda: [Listener]),
        two=plugin(virtumancer_event_listeners=lambda: [Listener]),
    )

    assert "claimed by both plugins 'one' and 'two'" in info(plugins, "two").reason


def test_routes_belong_to_their_plugin(tmp_path: Path) -> None:
    routes = [route(), route(method="POST"), route("things/{thing}"), StaticFiles("page", tmp_path)]

    plugins = load(one=plugin(virtumancer_routes=lambda: routes))

    assert plugins.routes == {"one": tuple(routes)}
    assert info(plugins, "one").routes == ("GET things", "POST things", "GET things/{thing}", "GET page/…")


@pytest.mark.parametrize(
    ("routes", "reason"),
    [
        ([route("/things")], "the path '/things' of a route is not usable"),
        ([route("things/")], "is not usable"),
        ([route("a//b")], "is not usable"),
        ([route("../hosts")], "is not usable"),
        ([route("")], "is not usable"),
        ([route("{a}/{a}")], "is not usable"),
        ([route("a b")], "is not usable"),
        ([route(), route()], "the route GET things is there twice"),
        ([route("{a}"), route("{b}")], "is there twice"),
        ([route(method="BREW")], "another method than GET, POST"),
        ([route(handle=3)], "handle = 3 cannot be called"),
        ([route(body=int)], "is no msgspec Struct"),
        ([route(timeout=0)], "no number of seconds above 0"),
        ([StaticFiles("page", Path("/nowhere"))], "there is no folder /nowhere"),
        ([StaticFiles("a", Path("/")), route("a/b")], "lies within the static files at a"),
        ([StaticFiles("{a}", Path("/"))], "cannot have names in braces"),
        ([3], "Route or StaticFiles objects are needed"),
    ],
)
def test_a_route_that_cannot_be_mounted_is_refused(routes: list[Any], reason: str) -> None:
    plugins = load(bad=plugin(virtumancer_routes=lambda: routes))

    assert info(plugins, "bad").state is PluginState.FAILED
    assert reason in info(plugins, "bad").reason
    assert not plugins.routes


def test_a_listener_without_a_name_is_refused() -> None:
    nameless = type("Nameless", (EventListener,), {"on_event": Listener.on_event})

    refused = info(load(bad=plugin(virtumancer_event_listeners=lambda: [nameless])), "bad")

    assert refused.reason == "Nameless: it has no name: write `name = …` in the class"


def test_a_driver_without_schemes_is_refused() -> None:
    async def connect(self: object, host: object, context: object) -> None:
        """Nothing."""

    bare = type("Bare", (HostDriver,), {"connect": connect})
    loud = type("Loud", (HostDriver,), {"connect": connect, "schemes": frozenset({"QEMU+ssh"})})
    text = type("Text", (HostDriver,), {"connect": connect, "schemes": "qemu"})

    plugins = load(
        **{kind.__name__: plugin(virtumancer_host_drivers=lambda k=kind: [k]) for kind in (bare, loud, text)}
    )

    assert "it has no schemes" in info(plugins, "Bare").reason
    assert "'QEMU+ssh' is not usable" in info(plugins, "Loud").reason
    assert "is not a set of texts" in info(plugins, "Text").reason


def test_a_collector_that_would_not_pause_is_refused() -> None:
    async def collect(self: object, context: object) -> list[object]:
        return []

    hasty = type("Hasty", (StatsCollector,), {"collect": collect, "name": "hasty", "interval": 0})

    refused = info(load(bad=plugin(virtumancer_stats_collectors=lambda: [hasty])), "bad")

    assert refused.reason == "collector 'hasty': interval = 0 is no number of seconds above 0"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"kind": "new"}, "it has no suffix"),
        ({"kind": "new", "suffix": "stats"}, "stands for something else"),
        ({"kind": "A/B", "suffix": "new"}, "kind = 'A/B' is not usable"),
    ],
)
def test_a_transport_that_could_not_be_a_route_is_refused(members: dict[str, str], reason: str) -> None:
    async def open(self: object, *arguments: object) -> None:  # noqa: A001 - the contract's name
        """Nothing."""

    bad = type("Bad", (ConsoleTransport,), {"open": open, **members})

    loaded = load(reserved={"stats"}, bad=plugin(virtumancer_console_transports=lambda: [bad]))

    assert reason in info(loaded, "bad").reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"params": int}, "params = <class 'int'> is no msgspec Struct"),
        ({"timeout": -1}, "timeout = -1 is no number of seconds above 0"),
        ({"needs": "events"}, "needs = 'events' is no class of connections"),
        ({"run": "run"}, "run = 'run' cannot be called"),
    ],
)
def test_an_action_that_could_not_be_run_is_refused(changes: dict[str, Any], reason: str) -> None:
    async def run(*arguments: object) -> None:
        """Nothing."""

    made = VMAction(**{"name": "wave", "title": "Wave", "description": "Waves.", "run": run, **changes})

    refused = info(load(bad=plugin(virtumancer_vm_actions=lambda: [made])), "bad")

    assert refused.reason == f"action 'wave': {reason}"


def test_two_things_of_one_name_in_one_plugin_are_refused() -> None:
    refused = info(load(bad=plugin(virtumancer_vm_actions=lambda: [action("wave"), action("wave")])), "bad")

    assert refused.reason == "action 'wave' is there 2 times in plugin 'bad'"


def test_what_is_retired_is_told_and_used_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def virtumancer_old_hook() -> None:
        """A hook of the test."""

    warning = retired("virtumancer_old_hook", since="1.1", gone="1.2", instead="virtumancer_vm_actions")
    spec = HookspecMarker(hookspecs.PROJECT)(warn_on_impl=warning)(virtumancer_old_hook)
    monkeypatch.setattr(hookspecs, "virtumancer_old_hook", spec, raising=False)

    plugins = load(old=plugin(virtumancer_old_hook=lambda: None, virtumancer_vm_actions=lambda: [action("wave")]))

    found = info(plugins, "old")
    assert found.state is PluginState.ACTIVE
    assert found.warnings == (
        "virtumancer_old_hook is retired since contracts 1.1 and will be gone in 1.2; use virtumancer_vm_actions",
    )


def test_other_warnings_of_a_plugin_are_not_ours() -> None:
    def hook() -> list[VMAction]:
        warnings.warn("elsewhere", DeprecationWarning, stacklevel=1)
        warnings.warn("here", RetirementWarning, stacklevel=1)
        return []

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = info(load(old=plugin(virtumancer_vm_actions=hook)), "old")

    assert found.warnings == ("here",)
    assert [str(warning.message) for warning in caught] == ["elsewhere"]
