"""Fixtures of the SSH tests: an sshd of their own for each test, so that each may break it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.requirements import requires
from tests.lab.sshd import PrivateSshd


@pytest.fixture(scope="session")
def lab() -> None:
    """Skip what needs real daemons where there are none."""
    requires("sshd", "ssh-keygen", "unshare", "nsenter")


@pytest.fixture
def server(lab: None, tmp_path: Path) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets in it, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="vt-"))
    yield folder
    shutil.rmtree(folder)
