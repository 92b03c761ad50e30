"""schemathesis calls every operation of the real program, with a host of libvirt's test driver."""

from pathlib import Path

import httpx2
import pytest

from tests.e2e.manager import Manager
from tests.http.fuzzing import fuzz

pytestmark = pytest.mark.lab
CONFIG = '[server]\nauth = "token"\n'


@pytest.mark.timeout(900)
async def test_every_operation_keeps_to_the_document(tmp_path: Path) -> None:
    with Manager(tmp_path / "manager", CONFIG) as manager:
        token = (manager.folder / "virtumancer.admin-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=f"{manager.url}/api/v1", headers=headers) as client:
            assert (await client.post("/hosts", json={"id": "kvm1", "uri": "test:///default"})).status_code == 201
        await fuzz(manager.url, token, tmp_path)
