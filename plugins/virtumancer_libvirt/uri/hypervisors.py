"""The hypervisors that libvirt's client knows, and the paths that their URIs may have."""

from collections.abc import Mapping

from virtumancer.errors import InvalidValue

__all__ = ["DAEMON_PATHS", "WEB_SERVICES", "check_path"]

WEB_SERVICES = frozenset({"esx", "gsx", "hyperv", "vpx"})
"""Hypervisors that libvirt's client reaches by their own web service: there is no daemon to reach by SSH."""

_BOTH = ("/system", "/session")

DAEMON_PATHS: Mapping[str, tuple[str, ...]] = {
    "bhyve": _BOTH,
    "ch": _BOTH,
    "lxc": ("/system", "/", ""),
    "openvz": ("/system",),
    "parallels": _BOTH,
    "qemu": _BOTH,
    "test": ("/default",),
    "vbox": _BOTH,
    "vmwarefusion": ("/session",),
    "vmwareplayer": ("/session",),
    "vmwarews": ("/session",),
    "vz": _BOTH,
    "xen": ("/system", "/", ""),
}
"""What each hypervisor serves, the usual first. Others are refused: `/embed` would run its driver in this process.

Every path that `test` does not serve is a file, and for the operator to allow.
"""


def check_path(driver: str, path: str) -> None:
    """Raise `InvalidValue` for a path, already decoded, that this hypervisor does not serve."""
    if driver in WEB_SERVICES or (driver == "test" and path.startswith("/")):
        return
    allowed = DAEMON_PATHS.get(driver)
    if allowed is None:
        known = ", ".join(sorted(WEB_SERVICES | DAEMON_PATHS.keys()))
        raise InvalidValue(f"the hypervisor in uri is unknown to libvirt; it knows {known}", field="uri")
    if path in allowed:
        return
    what = "/embed runs the hypervisor's driver inside this program and is refused; " if path == "/embed" else ""
    usual = " or ".join(one for one in allowed if len(one) > 1)
    raise InvalidValue(f"{what}the path of a {driver} URI is {usual}, as in {driver}://{allowed[0]}", field="uri")
