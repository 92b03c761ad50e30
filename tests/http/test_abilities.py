"""Abilities of third parties: named, guarded and blamed like ours, on their own drivers and on those of others."""

import asyncio
from abc import abstractmethod
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import httpx2
import pytest
from msgspec import Struct

from tests.http.naughty import Naughty, add, counts, naughty_plugins
from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    Ability,
    AbilityAdapter,
    ActionContext,
    SupportsScreenshot,
    VMAction,
    VMRef,
    VMState,
)
from virtumancer.plugins import load_plugins
from virtumancer.plugins.calls.breaker import TOLERATED
from virtumancer.testing import FakeHypervisor, fake_plugin
from virtumancer.testing.fake import FakeConnection


class Temperature(Struct, frozen=True):
    celsius: float


class Thermometer(Ability):
    """A third party's own: no driver of ours has it."""

    ability = "thermometer"

    @abstractmethod
    async def measure(self, uuid: str) -> Temperature: ...


class Measured(Struct, frozen=True):
    celsius: float


async def read(context: ActionContext, vm: VMRef, params: Any) -> Measured:
    thermometer = context.connection.ability(Thermometer)
    assert isinstance(thermometer, Thermometer)
    return Measured((await thermometer.measure(vm.uuid)).celsius)


READ = VMAction(
    name="read-heat", title="Read", description="Reads it.", run=read, answer=Measured, needs=Thermometer, timeout=5.0
)


class Fixed(Thermometer):
    def __init__(self, measured: Any) -> None:
        self.measured = measured

    async def measure(self, uuid: str) -> Temperature:
        if isinstance(self.measured, BaseException):
            raise self.measured
        if self.measured is None:
            await asyncio.Event().wait()
        return cast("Temperature", self.measured)


class ByScreen(Thermometer):
    """Makes one of what another driver has."""

    def __init__(self, screens: SupportsScreenshot) -> None:
        self.screens = screens

    async def measure(self, uuid: str) -> Temperature:
        picture = (await self.screens.screenshot(uuid)).png
        if not picture:
            raise ZeroDivisionError("no picture")
        return Temperature(float(len(picture)))


@pytest.fixture
def naughty(tmp_path: Path, kvm1: FakeHypervisor) -> Naughty:
    kvm1.define("web", VMState.RUNNING)
    return naughty_plugins(tmp_path, kvm1)


@pytest.fixture
def app(tmp_path: Path, kvm1: FakeHypervisor) -> Any:
    """The driver of one plugin, an action of another, and an adapter of a third."""
    kvm1.define("web", VMState.RUNNING)

    def started(*adapters: AbilityAdapter) -> Any:
        reader, adapter = ModuleType("reader"), ModuleType("adapter")
        reader.__dict__["virtumancer_vm_actions"] = hookimpl(lambda: [READ])

        @hookimpl
        def virtumancer_abilities() -> list[AbilityAdapter]:
            return list(adapters)

        adapter.__dict__["virtumancer_abilities"] = virtumancer_abilities
        plugins = load_plugins(
            disabled=["libvirt"], extra={"fake": fake_plugin(kvm1), "reader": reader, "adapter": adapter}
        )
        settings = {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"}
        return create_app(load_config(None, {"HOME": str(tmp_path)}, settings), plugins)

    return started


def client_of(application: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(application), base_url="http://localhost/api/v1")


def serving(measured: Any, *, named: bool = True) -> dict[str, Any]:
    """Methods of a connection that serves a thermometer, beside what it inherits."""
    thermometer = Fixed(measured)

    def ability(self: FakeConnection, kind: type[Any]) -> Any:
        return thermometer if kind is Thermometer else FakeConnection.ability(self, kind)

    def abilities(self: FakeConnection) -> Any:
        return (*FakeConnection.abilities(self), Thermometer)

    return {"ability": ability, **({"abilities": abilities} if named else {})}


ACTIONS = {"virtumancer_vm_actions": [READ]}


async def test_an_ability_of_a_third_party_is_shown_and_used(naughty: Naughty) -> None:
    async with naughty(serving(Temperature(36.6)), hooks=ACTIONS) as client:
        await add(client)
        detail = (await client.get("/hosts/a")).json()
        assert detail["abilities"] == ["consoles", "events", "screenshot", "thermometer"]
        answer = await client.post("/hosts/a/vms/web/read-heat")
        assert answer.json() == {"celsius": 36.6}
        assert (await counts(client))["thermometer.measure"]["calls"] == 1


async def test_a_host_without_it_says_so(naughty: Naughty) -> None:
    async with naughty(hooks=ACTIONS) as client:
        await add(client)
        assert "thermometer" not in (await client.get("/hosts/a")).json()["abilities"]
        answer = await client.post("/hosts/a/vms/web/read-heat")
        assert (answer.status_code, answer.json()["ability"]) == (501, "thermometer")


async def test_the_document_names_it(naughty: Naughty) -> None:
    async with naughty(hooks=ACTIONS) as client:
        document = (await client.get("/openapi.json")).json()
        abilities = document["components"]["schemas"]["HostDetail"]["properties"]["abilities"]
        assert {"consoles", "thermometer"} <= set(abilities["items"]["examples"])
        action = document["paths"]["/api/v1/hosts/{host}/vms/{vm}/read-heat"]["post"]
        assert action["x-needs"] == "thermometer"
        assert "501" in action["responses"]


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (KeyError("mercury"), "KeyError: 'mercury'"),
        (Temperature(float("nan")), "measure() returned what is wrong: Temperature, field celsius: Expected `float`"),
        ("warm", "measure() returned an object of str, a Temperature is needed"),
    ],
)
async def test_what_goes_wrong_in_it_is_the_failure_of_its_driver(naughty: Naughty, measured: Any, said: str) -> None:
    other = ModuleType("other")
    async with naughty(serving(measured), hooks=ACTIONS) as client:
        await add(client)
        answer = await client.post("/hosts/a/vms/web/read-heat")
        assert (answer.status_code, answer.json()["code"]) == (502, "plugin-failed"), other
        assert "measure of thermometer on host 'a' failed inside plugin 'naughty': " in answer.json()["detail"]
        assert said in answer.json()["detail"]
        assert (await counts(client))["thermometer.measure"]["failures"] == 1


async def test_one_that_hangs_ends_at_its_deadline(naughty: Naughty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtumancer.services.hosts.connector.GRACE", 0.1)
    async with naughty(serving(None), hooks=ACTIONS) as client:
        await add(client)
        answer = await client.post("/hosts/a/vms/web/read-heat")
        assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
        assert "measure of thermometer on host 'a' did not finish within 0.6 s" in answer.json()["detail"]


async def test_who_names_abilities_badly_has_those_that_it_inherits(naughty: Naughty) -> None:
    def abilities(_self: object) -> Any:
        return ["thermometer"]

    async with naughty({"abilities": abilities}) as client:
        await add(client)
        detail = (await client.get("/hosts/a")).json()
        assert (detail["state"], detail["abilities"]) == ("connected", ["consoles", "events", "screenshot"])
        assert (await counts(client))["abilities"]["failures"] >= 1


async def test_an_adapter_gives_an_ability_to_the_driver_of_another(app: Any) -> None:
    adapter = AbilityAdapter(kind=Thermometer, needs=SupportsScreenshot, make=ByScreen)
    async with app(adapter) as application, client_of(application) as client:
        await client.post("/hosts", json={"id": "a", "uri": "fake://kvm1"})
        detail = (await client.get("/hosts/a")).json()
        assert "thermometer" in detail["abilities"]
        assert (await client.post("/hosts/a/vms/web/read-heat")).json() == {"celsius": 8.0}
        assert (await client.get("/plugins/adapter")).json()["abilities"] == ["thermometer"]


async def test_what_goes_wrong_in_an_adapter_is_its_plugins_failure_and_rests(app: Any, kvm1: FakeHypervisor) -> None:
    kvm1.picture = b""
    adapter = AbilityAdapter(kind=Thermometer, needs=SupportsScreenshot, make=ByScreen)
    async with app(adapter) as application, client_of(application) as client:
        await client.post("/hosts", json={"id": "a", "uri": "fake://kvm1"})
        for _ in range(TOLERATED):
            answer = await client.post("/hosts/a/vms/web/read-heat")
            assert "inside plugin 'adapter': ZeroDivisionError: no picture" in answer.json()["detail"], answer.text
        answer = await client.post("/hosts/a/vms/web/read-heat")
        assert answer.json()["code"] == "plugin-degraded"
        plugins = {plugin["name"]: plugin for plugin in (await client.get("/plugins")).json()}
        assert [plugins[name]["state"] for name in ("adapter", "reader", "fake")] == [
            "degraded",
            "active",
            "active",
        ]
        assert sum(call["failures"] for call in plugins["reader"]["calls"] + plugins["fake"]["calls"]) == 0


async def test_an_adapter_that_makes_something_else_is_named(app: Any) -> None:
    def make(_needed: object) -> Any:
        return "a thermometer"

    async with app(AbilityAdapter(kind=Thermometer, make=make)) as application, client_of(application) as client:
        await client.post("/hosts", json={"id": "a", "uri": "fake://kvm1"})
        answer = await client.post("/hosts/a/vms/web/read-heat")
        assert answer.json()["code"] == "plugin-failed"
        assert "inside plugin 'adapter': make() returned str, a Thermometer is needed" in answer.json()["detail"]


class Unnamed(Ability):
    pass


class Ours(Ability):
    ability = "consoles"


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (AbilityAdapter(kind=Unnamed, make=Fixed), "Unnamed: ability = None is not usable"),
        (AbilityAdapter(kind=Ours, make=Fixed), "ability = 'consoles' is not usable"),
        (AbilityAdapter(kind=FakeHypervisor, make=Fixed), "is no subclass of Ability"),  # type: ignore[arg-type]
        (AbilityAdapter(kind=Thermometer, make=None), "make = None cannot be called"),  # type: ignore[arg-type]
        (AbilityAdapter(kind=Thermometer, make=Fixed, needs="x"), "needs = 'x' is no class"),  # type: ignore[arg-type]
    ],
)
def test_an_adapter_that_is_none_is_refused(adapter: AbilityAdapter, said: str) -> None:
    plugin = ModuleType("adapter")
    plugin.__dict__["virtumancer_abilities"] = hookimpl(lambda: [adapter])
    plugins = load_plugins(disabled=["libvirt"], extra={"adapter": plugin})
    (info,) = [info for info in plugins.infos if info.name == "adapter"]
    assert info.phase == "register"
    assert said in info.reason


def test_two_plugins_with_an_adapter_for_the_same_are_refused_by_name() -> None:
    def plugin(name: str) -> ModuleType:
        module = ModuleType(name)
        module.__dict__["virtumancer_abilities"] = hookimpl(lambda: [AbilityAdapter(kind=Thermometer, make=Fixed)])
        return module

    plugins = load_plugins(disabled=["libvirt"], extra={name: plugin(name) for name in ("one", "two")})
    reasons = [info.reason for info in plugins.infos if info.name in ("one", "two")]
    assert "ability 'thermometer' is claimed by both plugins 'one' and 'two'" in reasons
