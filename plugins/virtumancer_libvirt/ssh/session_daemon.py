"""A user's own libvirt daemon on a remote host: where its sockets are, and how it is started."""

from typing import TYPE_CHECKING, cast

from virtumancer_libvirt.uri.daemon_sockets import Mode, session_daemons
from virtumancer_libvirt.uri.uri import LibvirtURI

if TYPE_CHECKING:
    from virtumancer_libvirt.ssh.transport import SSHTransport

__all__ = ["find_session_dirs", "start_session_daemon"]

# Without a login session XDG_RUNTIME_DIR is not set, although the folder may be there; libvirt then uses the cache, and
# makes it.
_FIND = """id=$(id -u)
for d in "$XDG_RUNTIME_DIR" "/run/user/$id"; do
[ -n "$d" ] && [ -d "$d" ] && printf '%s/libvirt\\n' "$d"
done
printf '%s/libvirt\\n' "${XDG_CACHE_HOME:-$HOME/.cache}" """
# A daemon that root starts is the system's own, also for a session URI, and takes the place of the one that runs.
_START = """if [ "$(id -u)" -eq 0 ]; then echo "root has no session daemon; use /system in the URI"; exit 1; fi
PATH=$PATH:/usr/sbin:/usr/local/sbin
for p in {programs}; do
command -v "$p" >/dev/null 2>&1 && exec "$p" --timeout=120 -d 2>&1
done
echo "none of these programs is there: {programs}"; exit 127"""


async def find_session_dirs(transport: "SSHTransport", timeout: float) -> tuple[str, ...]:
    """Return the folders in which the user's daemon may have its sockets, likeliest first."""
    output = await transport.run_script(_FIND, "to look for the user's own daemon", timeout=timeout)
    return tuple(dict.fromkeys(line for line in output.splitlines() if line.startswith("/")))


async def start_session_daemon(transport: "SSHTransport", uri: LibvirtURI, timeout: float) -> None:
    """Start the daemon as libvirt's own client does; it ends by itself two minutes after its last use."""
    programs = session_daemons(uri.driver, cast("Mode", uri.params.get("mode", "auto")))
    script = _START.format(programs=" ".join(programs))
    await transport.run_script(script, f"to start {' or '.join(programs)}", timeout=timeout)
