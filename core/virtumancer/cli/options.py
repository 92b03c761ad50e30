"""The options that several commands have."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["ConfigFile", "JSONOutput"]

ConfigFile = Annotated[
    Path | None,
    Parameter(
        name="--config",
        help="The configuration file; else virtumancer.toml here, in ~/.config/virtumancer or in /etc/virtumancer.",
    ),
]
JSONOutput = Annotated[bool, Parameter(name="--json", help="Print JSON.", negative=())]
