"""The pytest plugin of `scripts/test` that installs the packages of the lab when one of the chosen tests needs them."""

import fcntl
import subprocess
from contextlib import AbstractContextManager, nullcontext

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Run `scripts/setup --lab`, which is quick when nothing is missing; one worker after another."""
    chosen = any(item.get_closest_marker("lab") for item in session.items)
    if not chosen or session.config.option.collectonly:
        return
    setup = session.config.rootpath / "scripts/setup"
    with setup.open() as lock, _shown(session.config):
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([setup, "--lab"], check=True)


def _shown(config: pytest.Config) -> AbstractContextManager[None]:
    """Let what is installed be seen, and a password be asked for."""
    capture = config.pluginmanager.getplugin("capturemanager")
    return capture.global_and_fixture_disabled() if capture else nullcontext()
