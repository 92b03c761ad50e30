"""The suite for a plugin as a whole: a server with it starts, serves, tells it what happens, and stops."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from virtumancer.contracts import PluginState, VMChange, VMState
from virtumancer.testing.suites.extending import left_behind, standing_still

if TYPE_CHECKING:
    from virtumancer.testing.serving import ServerOfPlugin, ServersOfPlugin

__all__ = ["PluginSuite"]

METHODS = frozenset({"get", "put", "post", "patch", "delete"})
FAILED = 500
# Seconds for a listener that is told a moment later than others, and for what it does.
TELLING = 0.5


@pytest.mark.asyncio(loop_scope="function")
class PluginSuite:
    """Holds a plugin as a whole, in a server of its own with a hypervisor in memory. Inherit from it, and say which::

        import pytest
        import virtumancer_myplugin
        from virtumancer.testing.suites import PluginSuite

        class TestMyPlugin(PluginSuite):
            @pytest.fixture
            def plugin(self):
                return virtumancer_myplugin

    `plugin` is needed. It is for what has no suite of its own: listeners, lifespans, routes and mounts,
    types of events, abilities and tables.
    """

    patience: float = 30.0
    """Seconds that starting and stopping the server may take."""
    longest_block: float = 0.25
    """Seconds that the event loop may stand still; raise it where the machine of the tests is slow."""

    @pytest.fixture
    def plugin(self) -> ModuleType | None:
        """The module of the plugin to test; override it. None for one that is installed, by its `name`."""
        pytest.fail("override the fixture `plugin` to return the module of your plugin", pytrace=False)

    @pytest.fixture
    def name(self) -> str:
        """What the plugin is called."""
        return "under-test"

    @pytest.fixture
    def tables(self) -> Mapping[str, Any]:
        """The plugin's table of the configuration."""
        return {}

    @pytest.fixture
    def servers(
        self, tmp_path: Path, plugin: ModuleType | None, name: str, tables: Mapping[str, Any]
    ) -> "ServersOfPlugin":
        """Servers with the plugin, one after the other on one database."""
        from virtumancer.testing.serving import ServersOfPlugin  # noqa: PLC0415 - other suites need no server

        return ServersOfPlugin(tmp_path, name, plugin, tables)

    async def test_a_server_with_it_starts_and_it_is_active(self, servers: "ServersOfPlugin") -> None:
        async with asyncio.timeout(self.patience), servers.open() as server:
            info = await server.info()
        assert (info.state, info.reason) == (PluginState.ACTIVE, "")

    async def test_every_route_of_it_has_a_summary(self, servers: "ServersOfPlugin") -> None:
        async with asyncio.timeout(self.patience), servers.open() as server:
            routes = await server.own_routes()
        for path, item in routes.items():
            for method, operation in item.items():
                assert method not in METHODS or operation["summary"].strip(), f"{method} {path} has no summary"

    async def test_a_route_that_needs_nothing_answers(self, servers: "ServersOfPlugin") -> None:
        async with asyncio.timeout(self.patience), servers.open() as server:
            for path, item in (await server.own_routes()).items():
                if "{" not in path and _asks_nothing(item.get("get")):
                    status = await server.status_of(path)
                    assert status < FAILED, f"GET {path} is answered with {status}"

    async def test_what_happens_is_taken_without_failure(self, servers: "ServersOfPlugin") -> None:
        async with asyncio.timeout(self.patience), servers.open() as server:
            await server.connected()
            longest = await standing_still(_happening(server))
            info = await server.info()
        assert [f"{call.hook} {call.name}" for call in info.calls if call.failures] == []
        # The machine of the tests may stand still as well: only what is the plugin's counts.
        assert longest <= self.longest_block or not info.blocks, (
            "it held up the whole server: move what blocks into a thread"
        )

    async def test_a_server_that_stops_leaves_nothing_of_it(self, servers: "ServersOfPlugin") -> None:
        before = asyncio.all_tasks()
        async with asyncio.timeout(self.patience), servers.open() as server:
            await server.info()
        assert not left_behind(before)

    async def test_a_server_that_starts_again_finds_what_was_left(self, servers: "ServersOfPlugin") -> None:
        for _ in range(2):
            async with asyncio.timeout(self.patience), servers.open() as server:
                info = await server.info()
            assert (info.state, info.reason) == (PluginState.ACTIVE, "")


async def _happening(server: "ServerOfPlugin") -> None:
    """Let a VM come and go, and the host be lost, until the listeners have been told of it."""
    vm = server.hypervisor.define("suite01", VMState.RUNNING)
    server.hypervisor.change(vm.uuid, VMChange.SUSPENDED, state=VMState.PAUSED)
    server.hypervisor.undefine(vm.uuid)
    server.hypervisor.drop("lost by the suite")
    await server.connected()
    await asyncio.sleep(TELLING)


def _asks_nothing(operation: Any) -> bool:
    """Say whether a request without anything is enough, and is answered at once with JSON or nothing."""
    if operation is None or any(parameter.get("required") for parameter in operation.get("parameters", ())):
        return False
    answers = {code: answer for code, answer in operation["responses"].items() if code.startswith("2")}
    return all(set(answer.get("content", {})) <= {"application/json"} for answer in answers.values())
