"""Installing a plugin for one test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution with a plugin, as pip would lay it out."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(name: str, source: str | None, module: str = "", version: str = "1.2", extras: str = "") -> None:
        module = module or f"{name}_module"
        info_dir = tmp_path / f"{name}-{version}.dist-info"
        info_dir.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: {version}\n{extras}"
        (info_dir / "METADATA").write_text(metadata)
        (info_dir / "entry_points.txt").write_text(f"[virtumancer.plugins]\n{name} = {module}\n")
        if source is not None:
            (tmp_path / f"{module}.py").write_text(source)

    yield install
    for module in set(sys.modules) - before:
        del sys.modules[module]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in front of the path of Python; nothing that a test imports stays."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = dict(sys.modules)
    yield folder
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)
