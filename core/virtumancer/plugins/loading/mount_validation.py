"""Checks the places that plugins ask for outside their own, and puts them where the operator wants them."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from msgspec import structs

from virtumancer.config import did_you_mean
from virtumancer.contracts import Mount, Route, StaticFiles
from virtumancer.plugins.loading.refusal import PluginRefused
from virtumancer.plugins.loading.reserved_names import ReservedNames
from virtumancer.plugins.loading.route_validation import check_content

__all__ = ["check_mounts", "mount_doubts", "placed", "refuse_taken", "shown_mount"]

SETTING = "plugins.mounts"
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
PATH = re.compile(r"/|(/[A-Za-z0-9_-][A-Za-z0-9._-]*){1,10}")
CURE = f"give one of them another path in {SETTING}, or none with an empty text"

Taken = Mapping[str, tuple[str, Mount]]


def shown_mount(mount: Mount) -> str:
    """Name a place as lists of plugins do."""
    if isinstance(mount.content, Route):
        return f"{mount.content.method} {mount.path}"
    return f"GET {mount.path.rstrip('/')}/…"


def check_mounts(mounts: Iterable[Mount], reserved: Collection[str]) -> None:
    """Refuse the first that no server could have, wherever it is."""
    names: set[str] = set()
    for mount in mounts:
        name: Any = mount.name
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise _refused(f"the name {name!r:.80} of a mount is not usable: use a-z, 0-9 and -, as in 'metrics'")
        if name in names:
            raise _refused(f"the mount {name!r} is there twice")
        names.add(name)
        _check_path(mount, reserved)
        content: Any = mount.content
        if not isinstance(content, Route | StaticFiles):
            raise _refused(f"the mount {name!r}: content is {type(content).__name__}, Route or StaticFiles is needed")
        if content.path:
            raise _refused(f"the mount {name!r}: the path of its content is {content.path!r}, it has to be empty")
        check_content(content, f"the mount {name!r}")


def placed(plugin: str, mounts: Iterable[Mount], wanted: Mapping[str, Mapping[str, str]]) -> list[Mount]:
    """Return the mounts where the operator wants them, without those that the operator refuses."""
    own = wanted.get(plugin, {})
    moved = [structs.replace(mount, path=own.get(mount.name, mount.path)) for mount in mounts]
    return [mount for mount in moved if mount.path]


def refuse_taken(plugin: str, mounts: Iterable[Mount], taken: Taken, reserved: Collection[str]) -> None:
    """Refuse the first mount at a place of the core, or of another mount."""
    seen = dict(taken)
    for mount in mounts:
        _check_path(mount, reserved)
        for owner, other in seen.values():
            if _meet(mount, other):
                raise _refused(
                    f"the place {mount.path} of the mount {mount.name!r} of plugin {plugin!r} and {other.path} of "
                    f"{other.name!r} of plugin {owner!r} are in each other's way: {CURE}"
                )
        seen[mount.path] = plugin, mount


def mount_doubts(
    wanted: Mapping[str, Mapping[str, str]], asked: Mapping[str, Iterable[str]], active: Collection[str]
) -> Iterator[str]:
    """Say which of the operator's words are about no mount of a plugin that is in use."""
    for plugin, names in wanted.items():
        known = set(asked.get(plugin, ()))
        for name in names.keys() - known if plugin in active else ():
            yield f"{SETTING}: plugin {plugin!r} asks for no mount {name!r}{did_you_mean(name, known)}"


def _check_path(mount: Mount, reserved: Collection[str]) -> None:
    path: Any = mount.path
    what = f"the path {path!r:.120} of the mount {mount.name!r}"
    if not isinstance(path, str) or not PATH.fullmatch(path):
        raise _refused(f"{what} is not usable: it begins with /, has segments of letters, digits and _ . - and no more")
    if path == "/" and isinstance(mount.content, Route) and mount.content.method != "GET":
        raise _refused(f"{what}: only what is read can be at /")
    first = path.split("/")[1]
    own = reserved.at_server if isinstance(reserved, ReservedNames) else frozenset({"api"})
    if first in own:
        raise _refused(f"{what} is the server's own, as is all of /{first}: give it another in {SETTING}")


def _meet(mount: Mount, other: Mount) -> bool:
    """Say whether two mounts are at one place, or one within the other; what is at / leaves the rest to others."""
    paths = (mount.path, other.path)
    return paths[0] == paths[1] or any(
        upper != "/" and lower.startswith(f"{upper}/") for upper, lower in (paths, paths[::-1])
    )


def _refused(reason: str) -> PluginRefused:
    return PluginRefused("register", reason)
