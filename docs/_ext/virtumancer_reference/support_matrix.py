"""The support matrix: what built-in plugins provide, their drivers' abilities, and the suites that hold them."""

from virtumancer.contracts import ABILITIES, PluginInfo
from virtumancer.plugins import load_plugins
from virtumancer_libvirt.host.connection import LibvirtConnection
from virtumancer_reference.markdown import table

__all__ = ["BUILT_IN", "SUITES", "support_matrix"]

BUILT_IN = "virtumancer"
# The connection classes of drivers are known to them alone.
CONNECTIONS = {"libvirt": LibvirtConnection}
SUITES = {
    "drivers": "`HostDriverSuite`",
    "actions": "`VMActionSuite`",
    "collectors": "`StatsCollectorSuite`",
    "consoles": "`ConsoleTransportSuite`",
    "authenticators": "`AuthenticatorSuite`",
    "host_actions": "`HostActionSuite`",
    "resources": "`ResourceSuite`",
    **dict.fromkeys(("listeners", "lifespans", "routes", "abilities", "mounts", "event_types"), "`PluginSuite`"),
}


def support_matrix() -> str:
    """Write the tables."""
    infos = [info for info in load_plugins().infos if info.distribution == BUILT_IN]
    provided = table(["Plugin", "Provides", "Suite"], [row for info in infos for row in _rows(info)])
    names = sorted(ABILITIES)
    abilities = table(
        ["Driver", *(f"`{name}`" for name in names)],
        [
            [plugin, *("yes" if issubclass(kind, ABILITIES[name]) else "no" for name in names)]
            for plugin, kind in CONNECTIONS.items()
        ],
    )
    return f"{provided}\n\n## Abilities of drivers\n\n{abilities}"


def _rows(info: PluginInfo) -> list[list[str]]:
    return [
        [info.name, f"{kind} {', '.join(getattr(info, kind))}", suite]
        for kind, suite in SUITES.items()
        if getattr(info, kind)
    ]
