"""Where settings come from: the file with its line numbers, the environment, the flags."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from virtumancer.config.problems import Problems, did_you_mean
from virtumancer.config.sources.values import Raw

__all__ = [
    "ENVIRONMENT_PREFIX",
    "ConfigFile",
    "config_file",
    "find_file",
    "from_environment",
    "from_flags",
    "read_file",
]

ENVIRONMENT_PREFIX = "VIRTUMANCER_"
# CONFIG names the file, the others are for commands that call a server: where it is, and how to get in.
_NOT_SETTINGS = frozenset({"VIRTUMANCER_CONFIG", "VIRTUMANCER_URL", "VIRTUMANCER_TOKEN", "VIRTUMANCER_CA_FILE"})
_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"^\s*([\w\"'.-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=")


class ConfigFile(Struct, frozen=True):
    """The file's content, and the line of each of its keys."""

    name: str = ""
    content: dict[str, Any] = {}
    lines: dict[str, int] = {}

    def origin(self, path: str) -> str:
        """Say where a key stands; for one inside another, where the outer one stands."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return f"{self.name}:{self.lines[path]}" if path else self.name


def find_file(path: Path | None, environ: Mapping[str, str]) -> tuple[Path | None, str]:
    """Return the file to read with who named it, or None when no file is there and none was named."""
    if path is not None:
        return path, "flag --config"
    if named := environ.get("VIRTUMANCER_CONFIG"):
        return Path(named), "environment variable VIRTUMANCER_CONFIG"
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME') or Path('~').expanduser()}/.config"
    places = (
        Path("virtumancer.toml"),
        Path(home, "virtumancer/virtumancer.toml"),
        Path("/etc/virtumancer/virtumancer.toml"),
    )
    return next((place for place in places if place.is_file()), None), ""


def config_file(path: Path | None, environ: Mapping[str, str]) -> str:
    """Return the whole path of the configuration file that counts; empty where there is none."""
    found, _ = find_file(path, environ)
    return str(found.expanduser().resolve()) if found else ""


def read_file(path: Path, named_by: str, problems: Problems) -> ConfigFile:
    """Read a TOML file; what prevents it becomes a problem."""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
        return ConfigFile(str(path), tomllib.loads(text), _line_numbers(text))
    except FileNotFoundError:
        problems.add(named_by, "", f"there is no file {path}; create it or name another one")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        problems.add(str(path), "", f"cannot be read: {reason}")
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", place)
        problems.add(
            f"{path}:{line[1]}" if line else str(path), "", f"is not valid TOML: {reason}{' (' * bool(place)}{place}"
        )
    return ConfigFile(str(path))


def _line_numbers(text: str) -> dict[str, int]:
    """Find the line of each table and key by their usual spelling; others are reported by their table."""
    lines: dict[str, int] = {}
    arrays: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _bare(header[2])
            if header[1] == "[[":
                arrays[table] = arrays.get(table, -1) + 1
                table = f"{table}[{arrays[table]}]"
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{table}.{_bare(key[1])}".lstrip("."), number)
    return lines


def _bare(name: str) -> str:
    return re.sub(r"[\s\"']", "", name)


def from_environment(environ: Mapping[str, str], paths: Iterable[str], problems: Problems) -> dict[str, Raw]:
    """Read the variables `VIRTUMANCER_<TABLE>_<KEY>`."""
    names = {ENVIRONMENT_PREFIX + path.replace(".", "_").upper(): path for path in paths}
    found: dict[str, Raw] = {}
    for name, value in environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _NOT_SETTINGS:
            continue
        if path := names.get(name):
            found[path] = Raw(value, f"environment variable {name}", text=True)
        else:
            problems.add(f"environment variable {name}", "", f"is not a setting{did_you_mean(name, names)}")
    return found


def from_flags(flags: Mapping[str, object], paths: Iterable[str], problems: Problems) -> dict[str, Raw]:
    """Read settings given by their dotted path; None means not given."""
    valid = frozenset(paths)
    found: dict[str, Raw] = {}
    for path, value in flags.items():
        if value is None:
            continue
        if path in valid:
            found[path] = Raw(value, "command line", text=isinstance(value, str))
        else:
            problems.add("command line", path, f"is not a setting{did_you_mean(path, valid)}")
    return found
