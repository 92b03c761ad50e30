"""A real OpenID provider, and an application that lets its people sign in."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.http.oidc.kit import OIDCWorld
from tests.lab import OpenIDProvider


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIDProvider]:
    with OpenIDProvider(tmp_path_factory.mktemp("openid")) as provider:
        yield provider


@pytest.fixture
def provider(running: OpenIDProvider) -> OpenIDProvider:
    running.set()
    return running


@pytest.fixture
async def world(tmp_path: Path, provider: OpenIDProvider) -> AsyncIterator[OIDCWorld]:
    async with OIDCWorld(tmp_path, provider) as made:
        yield made
