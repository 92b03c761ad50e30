"""Clients of the application behind a real server."""

from collections.abc import AsyncIterator

import pytest

from virtumancer.client import AsyncClient
from virtumancer.testing import FakeHypervisor


@pytest.fixture
async def api(url: str, kvm1: FakeHypervisor) -> AsyncIterator[AsyncClient]:
    """A client of a server that has the host kvm1."""
    async with AsyncClient(url) as client:
        await client.hosts.add("kvm1", kvm1.uri)
        yield client
