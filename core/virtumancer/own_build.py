"""How a build of somebody else's calls itself: what `build.toml` beside this file says, if it is there."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

import virtumancer
from virtumancer.contracts.responses import Build
from virtumancer.errors import ConfigError

__all__ = ["FILE", "own_build", "read_build", "version_text"]

FILE = Path(__file__).with_name("build.toml")
Text = Annotated[str, Meta(pattern=r"^[ -~]{1,60}\Z")]


class _Written(Build, frozen=True, forbid_unknown_fields=True):
    name: Text
    version: Text


@functools.cache
def own_build() -> Build | None:
    """Return the name and version of this build; None for the project's own. Raises `ConfigError`."""
    return read_build(FILE)


def read_build(file: Path) -> Build | None:
    """Read the name and version of a build; None when there is no file. Raises `ConfigError`."""
    try:
        written = msgspec.toml.decode(file.read_bytes(), type=_Written)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file} does not name a build: {error}; it has two lines, "
            'name = "Acme Virtumancer" and version = "2026.1", each of 1 to 60 printable ASCII characters'
        ) from error
    return Build(written.name, written.version)


def version_text(build: Callable[[], Build | None] = own_build) -> str:
    """Return the version, with the name and version of the build behind it."""
    found = build()
    return f"{virtumancer.__version__} ({found.name} {found.version})" if found else virtumancer.__version__
