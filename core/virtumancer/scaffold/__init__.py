"""Writes the package of a new plugin that works, with tests that pass: what `virtumancer plugin new` does."""

import re
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template
from typing import Literal

from virtumancer.errors import UsageError

__all__ = ["KINDS", "Kind", "write_package"]

Kind = Literal[
    "ability",
    "action",
    "authenticator",
    "collector",
    "console",
    "driver",
    "event-type",
    "host-action",
    "lifespan",
    "listener",
    "mount",
    "resource",
    "route",
    "tables",
]
KINDS: Mapping[Kind, str] = {
    "ability": "Something that hosts of any driver can do from then on, for other plugins to use.",
    "action": "Something that can be done with a VM: a route, checked parameters, an audit record.",
    "authenticator": "Says who calls, by headers of a request: another way to sign in.",
    "collector": "Numbers about a host and its VMs, collected now and then.",
    "console": "Carries another kind of console to viewers.",
    "driver": "Reaches another kind of hypervisor.",
    "event-type": "Tells of something of its own among all events, to whoever may see it.",
    "host-action": "Something that can be done with a host: an operation with steps, progress and an answer.",
    "lifespan": "Opened when the server starts and closed when it stops, with tasks that are watched.",
    "listener": "Is told everything that happens, one event after the other; with a configuration of its own.",
    "mount": "Answers at a path of its own choice, such as /metrics or a page at /.",
    "resource": "A type of object with routes, rights, events and commands, described once.",
    "route": "Answers requests below /api/v1/plugins/NAME/.",
    "tables": "Keeps rows in tables of its own in the server's database, with migrations.",
}
"""What a new plugin can begin with, a sentence for each."""
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SUFFIX = ".tmpl"


def write_package(
    name: str, kind: Kind, folder: Path, taken: Collection[str] = (), reserved: Collection[str] = ()
) -> Path:
    """Write the package `virtumancer-<name>` into `folder` and return where it is; nothing is overwritten.

    Raises `UsageError` for a name that cannot be used, is `taken` by a built-in plugin, or `reserved` for something
    else where it would be, and when there is such a folder.
    """
    if not NAME.fullmatch(name) or len(name) > 40:
        raise UsageError(
            f"{name[:80]!r} is no name for a plugin: use lower-case letters, digits and single hyphens, as in my-plugin"
        )
    if name in taken:
        raise UsageError(f"{name!r} is the name of a built-in plugin; two of one name are both refused, choose another")
    if name in reserved:
        raise UsageError(f"{name!r} stands for something else there, so no {kind} is named so; choose another")
    package = folder / f"virtumancer-{name}"
    if package.exists():
        raise UsageError(f"{package} exists already; choose another name, or another folder with --folder")
    words = name.split("-")
    values = {
        "name": name,
        "module": "virtumancer_" + "_".join(words),
        "class_name": "".join(word.capitalize() for word in words),
        "title": " ".join(words).capitalize(),
        "scheme": "".join(words),
        "metric": "_".join(words),
        "constant": "_".join(words).upper(),
        "singular": _singular(name),
    }
    for path, text in _files(kind):
        place = package / path.replace("PACKAGE", values["module"])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(Template(text).substitute(values), encoding="utf-8")
    return package


def _singular(name: str) -> str:
    """Return what one of them is called, as far as that can be guessed: `notes` is `note`."""
    word = name.removesuffix("s")
    return word[:20].rstrip("-") if word != name and word else f"{name[:19].rstrip('-')}-item"


def _files(kind: Kind) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each template: those of every plugin, then those of its kind."""
    templates = resources.files(__name__) / "templates"
    for part in ("common", kind):
        yield from _walk(templates / part, PurePosixPath())


def _walk(folder: Traversable, place: PurePosixPath) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, place / entry.name)
        elif entry.name.endswith(SUFFIX):
            yield str(place / entry.name.removesuffix(SUFFIX)), entry.read_text(encoding="utf-8")
