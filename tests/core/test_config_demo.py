"""The demo's configuration and its made-up host."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from virtumancer.config import load_config
from virtumancer.contracts import VMState

DEMO = Path(__file__).parents[2] / "examples/demo"


@pytest.fixture
def node() -> Iterator[Any]:
    libvirt = pytest.importorskip("libvirt")
    connection = libvirt.open(f"test://{DEMO}/demo-node.xml")
    yield connection
    connection.close()


def test_the_demo_declares_one_host_below_the_place_that_the_script_fills_in() -> None:
    (host,) = load_config(DEMO / "virtumancer.toml", {}, {}).hosts
    assert (host.id, host.uri) == ("demo", "test:///PATH/TO/VIRTUMANCER/examples/demo/demo-node.xml")


def test_the_demo_has_a_vm_in_every_state_that_lasts(node: Any) -> None:
    states = {domain.name(): VMState(domain.state()[0]) for domain in node.listAllDomains()}
    assert len(states) == 13
    assert set(states.values()) == {
        VMState.RUNNING,
        VMState.PAUSED,
        VMState.SHUTOFF,
        VMState.CRASHED,
        VMState.PMSUSPENDED,
    }


def test_the_demo_has_every_kind_of_disk_and_nic(node: Any) -> None:
    documents = "".join(domain.XMLDesc() for domain in node.listAllDomains())
    for kind in ("file", "block", "volume", "network"):
        assert f"<disk type='{kind}'" in documents
    for kind in ("network", "bridge", "direct", "user"):
        assert f"<interface type='{kind}'" in documents
