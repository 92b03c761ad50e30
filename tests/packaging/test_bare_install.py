"""The wheel without extras: it starts, and says what it cannot do."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

VERSION = re.compile(r'^__version__ = "(.+)"$', re.M)
PACKAGE = Path(__file__).parents[2] / "core/virtumancer/__init__.py"


def program(bare: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [bare / "virtumancer", *arguments],
        cwd=bare.parent,
        env={"PATH": os.defpath, "HOME": str(bare.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def plugins(bare: Path) -> dict[str, dict[str, Any]]:
    return {plugin["name"]: plugin for plugin in json.loads(program(bare, "plugins", "--json").stdout)}


def test_the_program_tells_the_version_of_the_source(bare: Path) -> None:
    version = VERSION.search(PACKAGE.read_text())
    assert version
    assert program(bare, "--version").stdout.strip() == version[1]


def test_the_power_plugin_works_without_libvirt(plugins: dict[str, dict[str, Any]]) -> None:
    assert plugins["power"]["state"] == "active"


def test_the_libvirt_plugin_says_why_it_does_not_work(plugins: dict[str, dict[str, Any]]) -> None:
    assert plugins["libvirt"]["state"] == "failed"
    assert "virtumancer[libvirt]" in plugins["libvirt"]["reason"]


def test_the_configuration_can_be_checked(bare: Path) -> None:
    done = program(bare, "check-config")
    assert done.returncode == 0
    assert "port = 8890" in done.stdout


def test_a_mistake_in_the_configuration_is_told_without_a_traceback(bare: Path) -> None:
    file = bare.parent / "wrong.toml"
    file.write_text("[server]\nprot = 1\n")
    done = program(bare, "check-config", "--config", str(file))
    assert done.returncode == 2
    assert "did you mean server.port?" in done.stderr
    assert "Traceback" not in done.stderr
