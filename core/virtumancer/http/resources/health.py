"""`/health`, `/livez` and `/readyz`: whether this program answers, and whether it can do its work."""

from collections import Counter

from falcon.asgi import Request, Response
from msgspec import Struct, structs

import virtumancer
from virtumancer.contracts.responses import FailingPlugin, Health
from virtumancer.errors import NotReady
from virtumancer.http.api_paths import API, ROOT
from virtumancer.http.endpoint import PUBLIC, endpoint
from virtumancer.http.middleware.authorization import access_of
from virtumancer.http.middleware.starting import Alive, send_alive
from virtumancer.http.requests import send_json
from virtumancer.own_build import own_build
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.services.auth import Right
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.readiness import Part, Readiness, is_failing

__all__ = ["HealthResource", "LivezResource", "ReadyzResource"]


class HealthResource:
    """Whether this program answers; what hosts and plugins do stands beside it."""

    def __init__(self, hosts: HostsService, plugins: PluginCaller) -> None:
        self._hosts = hosts
        self._plugins = plugins

    @endpoint(
        "getHealth",
        "server",
        path=API / "health",
        right=PUBLIC,
        answer=Health,
        example=Health(True, "1.0.0", {"connected": 2}, {"active": 5}, ()),
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Say that the server answers, and to who may read everything, how its hosts and plugins are doing."""
        if not access_of(req).everywhere(Right.READ):
            send_json(resp, Health(True, virtumancer.__version__, {}, {}, (), own_build()))
            return
        hosts = Counter(state.value for state in self._hosts.states())
        infos = self._plugins.infos()
        plugins = Counter(info.state.value for info in infos)
        failing = tuple(FailingPlugin(i.name, i.state, i.phase, i.reason) for i in infos if is_failing(i))
        send_json(resp, Health(True, virtumancer.__version__, hosts, plugins, failing, own_build()))


class LivezResource:
    """Whether the program should go on running."""

    @endpoint("getLivenessAtRoot", "server", path=ROOT / "livez", right=PUBLIC, answer=Alive, example=Alive(True))
    async def on_get(self, _req: Request, resp: Response) -> None:
        """Say that the program runs. When this is not answered, it should be started anew."""
        send_alive(resp)


class Ready(Struct, frozen=True):
    """That all parts that the server needs work."""

    ready: bool
    parts: tuple[Part, ...]


class ReadyzResource:
    """Whether the server should be sent requests."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    @endpoint(
        "getReadinessAtRoot",
        "server",
        path=ROOT / "readyz",
        right=PUBLIC,
        answer=Ready,
        errors=(NotReady,),
        example=Ready(True, (Part("store", True, True, ""), Part("hosts", False, False, "kvm1 is lost: …"))),
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        """Say whether the server can do its work, and which part of it cannot.

        Hosts and plugins in trouble are named, but the server is ready all the same. What is wrong is told to who may
        read everything.
        """
        parts = await self._readiness.parts()
        missing = [part.name for part in parts if part.needed and not part.ok]
        if not access_of(req).everywhere(Right.READ):
            parts = tuple(structs.replace(part, reason="") for part in parts)
        if missing:
            raise NotReady(f"not ready, because of: {', '.join(missing)}", parts=parts)
        send_json(resp, Ready(True, parts))
