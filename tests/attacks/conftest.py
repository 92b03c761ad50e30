"""A server that asks for tokens, for the attacks that need no settings of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.attacks.kit import Target, target


@pytest.fixture
async def victim(tmp_path: Path) -> AsyncIterator[Target]:
    async with target(tmp_path) as started:
        yield started
