"""The collector keeps the contract; route and page show what it finds."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import virtumancer_overcommit
from virtumancer_overcommit.collector import OvercommitCollector

from virtumancer.contracts import StatsCollector, VMState
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.suites import StatsCollectorSuite


class TestOvercommit(StatsCollectorSuite):
    @pytest.fixture
    def collector(self) -> StatsCollector:
        return OvercommitCollector(limit=4.0)


@pytest.fixture
def virtumancer_plugins() -> Mapping[str, ModuleType]:
    return {"promises": virtumancer_overcommit}


@pytest.fixture
def virtumancer_tables() -> Mapping[str, Mapping[str, Any]]:
    return {"promises": {"limit": 0.5}}


async def test_all_hosts_are_answered_at_once(virtumancer_client: Any, virtumancer_hypervisor: FakeHypervisor) -> None:
    virtumancer_hypervisor.define("app01", VMState.RUNNING)

    answer = await virtumancer_client.get("/api/v1/plugins/promises/hosts")

    assert answer.json == [
        {
            "host": "kvm1",
            "cpus": 4,
            "promised_cpus": 2,
            "memory": 8388608,
            "promised_memory": 524288,
            "full": True,
            "reason": "",
        }
    ]


async def test_a_host_that_cannot_be_asked_has_its_reason(
    virtumancer_client: Any, virtumancer_hypervisor: FakeHypervisor
) -> None:
    virtumancer_hypervisor.faults.drop("info")

    [host] = (await virtumancer_client.get("/api/v1/plugins/promises/hosts")).json

    assert "dropped at info" in host["reason"]


async def test_a_host_that_hangs_does_not_hold_up_the_answer(
    virtumancer_client: Any, virtumancer_hypervisor: FakeHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtumancer_overcommit, "PATIENCE", 0.1)
    virtumancer_hypervisor.faults.hang("info")

    [host] = (await virtumancer_client.get("/api/v1/plugins/promises/hosts")).json

    assert host["reason"] == "the host did not answer within 0.1 s"


async def test_the_page_is_served_with_its_script(virtumancer_client: Any) -> None:
    page = await virtumancer_client.get("/api/v1/plugins/promises/page/")
    script = await virtumancer_client.get("/api/v1/plugins/promises/page/page.js")

    assert "What is promised" in page.text
    assert "fetch(" in script.text
