"""The page for packagers names every place that the program knows."""

import os
import re
import subprocess
import sys
from pathlib import Path

from virtumancer_reference.configuration import settings

import virtumancer
from tests.docs.pages import ROOT, page
from tests.lab import free_port, wait_until
from virtumancer.running.folders import runtime_folders

PAGE = "how-to/packaging"
# What the settings say when they are about a place; other settings are not.
ABOUT_A_PLACE = re.compile(r"\b[Ff]iles?\b|env:NAME|`\.lock`|OpenSSH client configuration")


def places() -> str:
    return page(PAGE).partition("## Where things are")[2].partition("\n## ")[0]


def test_every_setting_that_is_about_a_file_is_on_the_page() -> None:
    named = {path for path, field in settings() if ABOUT_A_PLACE.search(str(field))} - {"plugins.tables"}

    assert {"server.tls_cert", "ssh.config", "plugins.lock", "hosts.credentials"} <= named
    assert {path for path in named if f"`{path}`" not in places()} == set()


def test_every_folder_in_which_a_server_says_that_it_runs_is_on_the_page() -> None:
    folders = runtime_folders({"XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"})
    shown = {
        str(path)
        .replace("/s/virtumancer", "*state*`")
        .replace("/r/", "$XDG_RUNTIME_DIR/")
        .replace(f"/{os.geteuid()}/", "/UID/")
        .replace(f"-{os.geteuid()}", "-UID")
        for path in folders
        if path != Path("/run/virtumancer").resolve()
    }
    assert len(shown) == len(folders) - 1
    assert {path for path in shown if path not in places()} == set()
    assert "`/run/virtumancer`" in places()


def test_every_file_that_a_server_writes_is_on_the_page(tmp_path: Path) -> None:
    port = str(free_port())
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path / "none")}
    command = [sys.executable, "-m", "virtumancer", "serve", "--port", port]
    state = tmp_path / ".local/state/virtumancer"
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until((state / "virtumancer.admin-token").exists, "the server has begun", timeout=60)
            written = {file.name for file in state.rglob("*") if not file.is_dir()}
        finally:
            server.terminate()
            server.wait()

    endings = {name.replace(port, "PORT").removeprefix("virtumancer").replace(".db-", "-") for name in written}
    assert {".db", "-wal", ".db.lock", ".admin-token", "PORT.sock"} <= endings
    assert {ending for ending in endings if f"{ending}`" not in places()} == set()


def test_the_folders_of_the_package_that_are_on_the_page_are_there() -> None:
    package = Path(virtumancer.__file__).parents[1]
    for path in re.findall(r"`(virtumancer/[\w/]+)` in the package", places()):
        assert (package / path).is_dir(), path
    for path in re.findall(r"`(examples/[\w./-]+)`", places()):
        assert (ROOT / path).exists(), path
