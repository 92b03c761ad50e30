"""The plugin of the guide works as it stands there, and so does its test; what it quotes is what it says it is."""

import sys
import tomllib
from types import ModuleType

import httpx2
import pytest

from tests.docs.pages import ROOT, blocks, page
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import VMState
from virtumancer.plugins import load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin

GUIDE = page("how-to/write-a-plugin")
MODULE = "virtumancer_power_cycle"


def module(name: str, code: str) -> ModuleType:
    made = ModuleType(name)
    exec(compile(code, name, "exec"), made.__dict__)
    return made


@pytest.fixture
def plugin() -> ModuleType:
    return module(MODULE, next(blocks(GUIDE, "python")))


async def test_the_plugin_of_the_guide_adds_its_route(plugin: ModuleType, tmp_path) -> None:
    kvm1 = FakeHypervisor("kvm1")
    vm = kvm1.define("web01", VMState.RUNNING)
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1), "power-cycle": plugin})
    config = load_config(None, {"HOME": str(tmp_path)}, {"database.url": "sqlite://:memory:", "server.auth": "off"})

    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            await client.post("/hosts", json={"id": "kvm1", "uri": kvm1.uri})
            cycled = await client.post("/hosts/kvm1/vms/web01/power-cycle", json={"seconds": 0})
            wrong = await client.post("/hosts/kvm1/vms/web01/power-cycle", json={"seconds": 31})

    assert (cycled.status_code, wrong.status_code) == (204, 422)
    assert kvm1.faults.calls["power"] == 2
    assert kvm1.vms[vm.uuid].state is VMState.RUNNING


async def test_the_test_of_the_guide_passes(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, plugin)
    its_test = list(blocks(GUIDE, "python"))[1]

    await module("test_power_cycle", its_test).test_the_vm_runs_again()


def test_the_serial_console_is_quoted_as_it_is() -> None:
    transport, hook = list(blocks(GUIDE, "python"))[2:]
    plugin = ROOT / "plugins/virtumancer_serial"

    assert transport in (plugin / "transport.py").read_text(encoding="utf-8")
    assert hook in (plugin / "__init__.py").read_text(encoding="utf-8")


def test_the_entry_point_of_the_guide_names_the_module() -> None:
    (project,) = blocks(GUIDE, "toml")

    assert tomllib.loads(project)["project"]["entry-points"] == {"virtumancer.plugins": {"power-cycle": MODULE}}
