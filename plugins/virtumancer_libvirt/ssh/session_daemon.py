"""A user's own libvirt daemon on a remote host: where its sockets are, and how it is started."""

import shlex
from typing import TYPE_CHECKING, cast

from virtumancer_libvirt.uri.daemon_sockets import Mode, session_daemons
from virtumancer_libvirt.uri.uri import LibvirtURI

if TYPE_CHECKING:
    from virtumancer_libvirt.ssh.transport import SSHTransport

__all__ = ["find_session_dirs", "start_session_daemon"]

# Without a login session XDG_RUNTIME_DIR is not set, although the folder may be there; libvirt then uses the cache.
_FIND = """id=$(id -u)
for d in "$XDG_RUNTIME_DIR" "/run/user/$id" "${XDG_CACHE_HOME:-$HOME/.cache}"; do
[ -n "$d" ] && [ -d "$d" ] && printf '%s/libvirt\\n' "$d"
done; :"""
# A daemon that root starts is the system's own, also for a session URI, and takes the place of the one that runs.
_START = """if [ "$(id -u)" -eq 0 ]; then echo "root has no session daemon; use /system in the URI" >&2; exit 1; fi
PATH=$PATH:/usr/sbin:/usr/local/sbin
for p in {programs}; do
command -v "$p" >/dev/null 2>&1 && exec "$p" --timeout=120 -d
done; exit 127"""


async def find_session_dirs(transport: "SSHTransport", timeout: float) -> tuple[str, ...]:
    """Return the folders in which the user's daemon may have its sockets, likeliest first."""
    output = await transport.run(_in_sh(_FIND), timeout=timeout)
    return tuple(dict.fromkeys(line for line in output.splitlines() if line.startswith("/")))


async def start_session_daemon(transport: "SSHTransport", uri: LibvirtURI, timeout: float) -> None:
    """Start the daemon as libvirt's own client does; it ends by itself two minutes after its last use."""
    programs = session_daemons(uri.driver, cast("Mode", uri.params.get("mode", "auto")))
    await transport.run(_in_sh(_START.format(programs=" ".join(programs))), timeout=timeout)


def _in_sh(script: str) -> str:
    # The user's login shell may be any, as csh or fish.
    return f"sh -c {shlex.quote(script)}"
