"""What plugins have outside their own place, where the operator lets them: routes and pages."""

from collections.abc import Collection, Iterator

from msgspec import structs

from virtumancer.contracts import Mount, Route, StaticFiles
from virtumancer.http.api_paths import ROOT, Path
from virtumancer.http.endpoint import PUBLIC, SIGNED_IN, Endpoint
from virtumancer.http.resources.plugin_routes import PluginResource, RouteTools, identifier, route_endpoint
from virtumancer.http.resources.static_files import FolderResource
from virtumancer.plugins import Plugins

__all__ = ["HOOK", "mount_endpoint", "mounted"]

HOOK = "virtumancer_mounts"


def mounted(plugins: Plugins, tools: RouteTools, own: Collection[str]) -> Iterator[object]:
    """Yield the resource of each mount; what begins with one of the server's `own` segments is not theirs."""
    for plugin, mount in plugins.mounts.values():
        content = mount.content
        if isinstance(content, StaticFiles):
            right = PUBLIC if mount.public else SIGNED_IN
            yield FolderResource(_place(mount), content, right, () if _place(mount).segments else own)
            continue
        resource = PluginResource()
        what = f"{content.method} {mount.path}"
        resource.add(mount_endpoint(plugin, mount, content), tools.caller(plugin, content, HOOK, what))
        yield resource


def mount_endpoint(plugin: str, mount: Mount, route: Route) -> Endpoint:
    """Return the record of a mounted route: that of its route, elsewhere, and open to everybody if it says so."""
    known = route_endpoint(plugin, route)
    rights = {} if mount.public else {"x-permission": route.permission}
    return structs.replace(
        known,
        path=_place(mount),
        id=identifier(f"{plugin}-{route.method.lower()}-{mount.name}"),
        right=PUBLIC if mount.public else route.permission,
        extensions={"x-plugin": plugin, "x-mount": mount.name, **rights, "x-timeout": route.timeout},
    )


def _place(mount: Mount) -> Path:
    if mount.path == "/" and isinstance(mount.content, Route):
        return ROOT / ""
    return Path(tuple(segment for segment in mount.path.split("/") if segment))
