"""An LXD that really runs, for all tests of a run."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from lxd import PrivateLXD, client_certificate, missing


@pytest.fixture(scope="session")
def lxd() -> Iterator[PrivateLXD]:
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(f"In CI nothing may be skipped: {reason}")
    if reason:
        pytest.skip(reason)
    with TemporaryDirectory(prefix="lxd-") as folder, PrivateLXD(Path(folder)) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def certificate() -> tuple[str, str]:
    return client_certificate()


@pytest.fixture(scope="session")
def address(lxd: PrivateLXD, certificate: tuple[str, str]) -> str:
    """Where it listens on HTTPS, and trusts that certificate."""
    return lxd.listen(certificate[0])
