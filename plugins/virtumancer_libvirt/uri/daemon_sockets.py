"""Where libvirt's daemons listen and how a session's daemon is started."""

from collections.abc import Mapping, Sequence
from typing import Literal

__all__ = ["Mode", "daemon_sockets", "session_daemons"]

Mode = Literal["auto", "legacy", "direct"]
"""libvirt's word for which daemon serves: `legacy` the one for everything, `direct` the one of the hypervisor."""

_MODULAR: Mapping[str, str] = {
    "bhyve": "virtbhyved",
    "ch": "virtchd",
    "lxc": "virtlxcd",
    "qemu": "virtqemud",
    "vbox": "virtvboxd",
    "vz": "virtvzd",
    "xen": "virtxend",
}
_SYSTEM_DIRS = ("/run/libvirt", "/var/run/libvirt")


def _socket_names(driver: str, mode: Mode) -> tuple[str, ...]:
    direct = (f"{_MODULAR[driver]}-sock",) if driver in _MODULAR else ()
    legacy = ("libvirt-sock",)
    # libvirt's own client prefers the modular daemon too when both are there.
    return {"auto": (*direct, *legacy), "legacy": legacy, "direct": direct or legacy}[mode]


def daemon_sockets(driver: str, mode: Mode, session_dirs: Sequence[str] | None) -> tuple[str, ...]:
    """Return the paths to try, likeliest first; `session_dirs` is None for the system's daemon."""
    folders = _SYSTEM_DIRS if session_dirs is None else session_dirs
    return tuple(f"{folder}/{name}" for folder in folders for name in _socket_names(driver, mode))


def session_daemons(driver: str, mode: Mode) -> tuple[str, ...]:
    """Return the programs that serve a session, in the order in which libvirt's own client tries them."""
    return tuple(
        "libvirtd" if name == "libvirt-sock" else name.removesuffix("-sock") for name in _socket_names(driver, mode)
    )
