"""The `virtumancer` program as a process, against the application behind a real server."""

from pathlib import Path

import pytest

from tests.forks import Forks
from tests.http.cli.program import Program
from virtumancer.client import AsyncClient
from virtumancer.testing import FakeHypervisor


@pytest.fixture
async def program(url: str, kvm1: FakeHypervisor, tmp_path: Path, forks: Forks) -> Program:
    """The program, told by its environment where the server is; the server has the host kvm1."""
    async with AsyncClient(url) as client:
        await client.hosts.add("kvm1", kvm1.uri)
    return Program(tmp_path, {"VIRTUMANCER_URL": url}, forks)
