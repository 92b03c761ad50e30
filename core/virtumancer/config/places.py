"""Where the user's programs keep what they remember."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

__all__ = ["default_database_url", "state_folder"]


def default_database_url(environ: Mapping[str, str] | None = None) -> str:
    """Name the SQLite file in the user's state folder."""
    return f"sqlite://{quote(str(state_folder(environ)))}/virtumancer.db"


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Name the folder of what the user's programs remember."""
    environ = os.environ if environ is None else environ
    state = environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        home = environ.get("HOME") or str(Path("~").expanduser())
        state = f"{home}/.local/state"
    return Path(state) / "virtumancer"
