"""Folders with VMs that really run; their QEMUs end with the test."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from virtumancer_qmp.config import QMPConfig
from virtumancer_qmp.definitions import read_definitions
from virtumancer_qmp.process import Place, find, launch

Define = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "vms"
    folder.mkdir()
    return folder


@pytest.fixture
def config() -> Iterator[QMPConfig]:
    with TemporaryDirectory(prefix="qmp-") as runtime:  # a short one: paths of sockets may not be long
        yield QMPConfig(accelerator="tcg", runtime_folder=runtime)


@pytest.fixture
def define(folder: Path, config: QMPConfig) -> Iterator[Define]:
    """Define a VM, and start it if asked to; returns its UUID."""

    def define(name: str, *, running: bool = False, more: str = "") -> str:
        uuid = str(uuid4())
        (folder / f"{name}.toml").write_text(f'name = "{name}"\nuuid = "{uuid}"\nmemory_mib = 32\n{more}')
        if running:
            launch(read_definitions(folder)[uuid], Place(config.folder() / uuid), config)
        return uuid

    yield define
    for definition in read_definitions(folder).values():
        running = find(definition, Place(config.folder() / definition.id))
        if running:
            os.kill(running.pid, signal.SIGKILL)
