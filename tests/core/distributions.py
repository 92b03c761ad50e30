"""Distributions for one test, laid out on the path of Python as an installer leaves them."""

import base64
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from virtumancer.contracts import PluginInfo
from virtumancer.plugins import Plugins, load_plugins
from virtumancer.plugins.loading.discovery import find_candidates
from virtumancer.plugins.loading.lockfile import PluginLock, lock_of

__all__ = ["BOMB", "WAVE", "distribution", "editable", "forget", "locked", "named"]

BOMB = "raise RuntimeError('imported')\n"
WAVE = """
from virtumancer import hookimpl
from virtumancer.contracts import VMAction

async def run(context, vm, params):
    pass

@hookimpl
def virtumancer_vm_actions():
    return [VMAction(name="wave", title="Wave", description="Waves.", run=run)]
"""


def distribution(
    folder: Path, name: str, entries: str, files: Mapping[str, str], version: str = "1.0", recorded: bool = True
) -> Path:
    """Write a distribution into a folder: its entry points as lines, its files by their path. Returns its notes."""
    folder.mkdir(exist_ok=True)
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[virtumancer.plugins]\n{entries}\n")
    lines: list[str] = []
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content.encode())}")
    if recorded:
        (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,"]) + "\n")
    return info


def editable(folder: Path, project: Path, name: str, entries: str, files: Mapping[str, str]) -> None:
    """Write a distribution whose files stay where they are developed; the test puts `project` on the path itself."""
    distribution(folder, name, entries, {f"_{name.replace('-', '_')}.pth": f"{project}\n"})
    for path, content in files.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(content)


def named(plugins: Plugins, name: str) -> dict[str, PluginInfo]:
    """Return what became of the plugins with this name, by distribution."""
    return {info.distribution: info for info in plugins.infos if info.name == name}


def locked(*names: str) -> PluginLock:
    """Freeze the plugins of these names as they are installed now."""
    return lock_of(load_plugins(allowed=names).infos, find_candidates({}))


def forget(top: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == top]:
        del sys.modules[name]
