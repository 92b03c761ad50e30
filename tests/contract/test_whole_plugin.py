"""A host action, and a plugin with a lifespan, a listener, a route and a mount, keep the contract of plugins."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from msgspec import Struct

from virtumancer import hookimpl
from virtumancer.contracts import (
    ActionContext,
    Event,
    EventListener,
    HostAction,
    Lifespan,
    Mount,
    NoParams,
    PluginContext,
    Route,
    RouteRequest,
)
from virtumancer.testing.serving import ServersOfPlugin
from virtumancer.testing.suites import HostActionSuite, PluginSuite


class Count(Struct, frozen=True):
    count: int


class Counter(EventListener, Lifespan):
    """Counts events while the server runs."""

    name = "counter"
    count = 0

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        context.start_task("count", self.rest)
        yield

    async def rest(self) -> None:
        """Have nothing to do."""

    async def on_event(self, event: Event) -> None:
        self.count += 1


async def tidy(context: ActionContext, params: NoParams) -> Count:
    await context.job.step("counting")
    return Count(len(await context.connection.list_vms()))


TIDY = HostAction(name="tidy", title="Tidy", description="Counts.", run=tidy, answer=Count, cancellable=True)


class TestTidy(HostActionSuite):
    longest_block = 1.0  # on a machine that is shared with other work

    @pytest.fixture
    def action(self) -> HostAction:
        return TIDY


class TestCounter(PluginSuite):
    longest_block = 1.0  # as above
    patience = 30.0

    @pytest.fixture
    def plugin(self) -> ModuleType:
        counter = Counter()

        async def count(request: RouteRequest) -> Count:
            return Count(counter.count)

        plugin = ModuleType("virtumancer_counter")
        for hook, thing in (
            ("virtumancer_event_listeners", counter),
            ("virtumancer_lifespans", counter),
            ("virtumancer_host_actions", TIDY),
            (
                "virtumancer_routes",
                Route(method="GET", path="count", summary="Count.", handle=count, answer=Count),
            ),
            (
                "virtumancer_mounts",
                Mount(
                    name="count",
                    path="/count",
                    content=Route(method="GET", path="", summary="Count.", handle=count, answer=Count),
                ),
            ),
        ):
            plugin.__dict__[hook] = implementing(hook, thing)
        return plugin

    async def test_what_it_mounts_is_looked_at_as_well(self, servers: ServersOfPlugin) -> None:
        async with servers.open() as server:
            assert set(await server.own_routes()) == {"/api/v1/plugins/under-test/count", "/count"}


def implementing(hook: str, thing: object) -> object:
    def implementation() -> list[object]:
        return [thing]

    implementation.__name__ = hook
    return hookimpl(implementation)
