"""The web clients from npm, exactly as the lock file names them, installed once and kept in a cache."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.lab import find_program
from tests.lab.processes import run

WEB = Path(__file__).with_name("web")


def web_clients() -> Path:
    """The `node_modules` folder, from the cache or, the first time, from the npm registry."""
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    target = Path(base) / "virtumancer-lab" / f"web-clients-{lock[:16]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        _install(target)
    return target / "node_modules"


def _install(target: Path) -> None:
    """Install beside it and rename, so that the folder is there complete or not at all."""
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=target.parent) as scratch:
        folder = Path(scratch) / "clients"
        folder.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(WEB / name, folder)
        flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))
        run([find_program("npm"), "ci", *flags], timeout=300)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # nobody was faster: the rename itself failed
                raise
