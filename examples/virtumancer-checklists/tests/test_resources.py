"""Both resources keep the contract, and work on a server."""

from pathlib import Path
from typing import Any

import pytest
import virtumancer_checklists
from virtumancer_checklists import CHECKLISTS, REMARKS, Checklist, Checklists, Remark, RemarkChange, Remarks

from virtumancer.contracts import Collection, ResourceType, VMState
from virtumancer.testing import FakeHypervisor
from virtumancer.testing.serving import application_with, client_of
from virtumancer.testing.suites import ResourceSuite


class TestChecklists(ResourceSuite):
    @pytest.fixture
    def resource(self) -> ResourceType[Any, Any, Any]:
        return CHECKLISTS

    @pytest.fixture
    def collection(self) -> Collection[Any]:
        return Checklists()

    @pytest.fixture
    def spec(self) -> Checklist:
        return Checklist("upgrade", ("snapshot", "reboot"))

    @pytest.fixture
    def other_spec(self) -> Checklist:
        return Checklist("other")


class TestRemarks(ResourceSuite):
    @pytest.fixture
    def resource(self) -> ResourceType[Any, Any, Any]:
        return REMARKS

    @pytest.fixture
    def collection(self) -> Collection[Any]:
        return Remarks()

    @pytest.fixture
    def spec(self) -> Remark:
        return Remark("one", "first")

    @pytest.fixture
    def change(self) -> RemarkChange:
        return RemarkChange("second")


async def test_they_are_served_beside_a_host(tmp_path: Path) -> None:
    kvm1 = FakeHypervisor("kvm1")
    kvm1.define("web01", VMState.RUNNING)
    plugins = {"checklists": virtumancer_checklists}
    async with application_with(tmp_path, kvm1, plugins, {}) as application, client_of(application) as client:
        made = await client.post("/api/v1/checklists", json={"name": "up", "steps": ["a"]})
        ticked = await client.post("/api/v1/checklists/up/advance")
        remarks = "/api/v1/hosts/kvm1/vms/web01/remarks"
        await client.post(remarks, json={"name": "one", "text": "slow on Mondays"})
        listed = await client.get(remarks)

    assert (made.status_code, ticked.json["done"]) == (201, 1)
    assert [remark["text"] for remark in listed.json] == ["slow on Mondays"]
