"""Why no socket of a host answers: sshd gives one and the same word for every reason, so the host is asked."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from virtumancer.errors import HypervisorError, VirtumancerError

if TYPE_CHECKING:
    from virtumancer_libvirt.ssh.transport import SSHTransport

__all__ = ["FORWARDING", "NoSocketAnswers", "explain_silence"]

_STATES = ("open", "dead", "locked")
FORWARDING = (
    "AllowTcpForwarding, which is about sockets too (yes or local), AllowStreamLocalForwarding, no PermitOpen and no "
    "DisableForwarding in its sshd_config, and without restrict, no-port-forwarding or permitopen= for the key in "
    "authorized_keys"
)
"""What has to be so on the host: sshd holds each of these against a unix socket."""
# Who listens is told by Linux; elsewhere a socket that is there counts as one that is listened at.
_LOOK = """for s do
[ -S "$s" ] || continue
if [ ! -w "$s" ]; then echo "locked $s"; continue; fi
state=open
if [ -r /proc/net/unix ]; then
state=dead
r=$(readlink -f "$s" 2>/dev/null || printf '%s' "$s")
while read -r _ _ _ flags _ _ _ path; do
if [ "$flags" = 00010000 ]; then case $path in "$s"|"$r") state=open;; esac; fi
done </proc/net/unix
fi
echo "$state $s"
done; :"""


class NoSocketAnswers(HypervisorError):
    """None of the sockets where libvirt may listen accepts a connection.

    `forbidden` is the first that somebody listens at and the account may open: so it is sshd that does not forward.
    """

    def __init__(self, message: str, forbidden: str = "") -> None:
        super().__init__(message)
        self.forbidden = forbidden


async def explain_silence(
    transport: "SSHTransport", host: str, paths: Sequence[str], timeout: float
) -> NoSocketAnswers:
    """Look at the sockets from inside, if the host lets us, and return the error that says what to do."""
    found = await _look(transport, paths, timeout)
    tried = f"no libvirt daemon answers on {host}; tried {', '.join(paths) or 'nothing'}"
    there = {state: [path for its, path in found or () if its == state] for state in _STATES}
    if found is None:
        cure = (
            "start libvirtd or virtqemud there, let the SSH user open its socket (often: be in group libvirt), and let "
            f"sshd forward to it with {FORWARDING}"
        )
    elif there["open"]:
        cure = f"{', '.join(there['open'])} is there: let sshd forward to it with {FORWARDING}"
    elif there["dead"]:
        cure = (
            f"{', '.join(there['dead'])} is there, and nobody seems to listen: start its daemon; or, when it runs, let "
            f"sshd forward to it with {FORWARDING}"
        )
    elif there["locked"]:
        cure = f"the SSH user may not open {', '.join(there['locked'])}: often it has to be in group libvirt"
    else:
        cure = "none of them is there: start libvirtd or virtqemud, or name the socket with socket= in uri"
    return NoSocketAnswers(f"{tried}. To cure it, {cure}", next(iter(there["open"]), ""))


async def _look(transport: "SSHTransport", paths: Sequence[str], timeout: float) -> list[tuple[str, str]] | None:
    script = f"set -- {shlex.join(paths)}\n{_LOOK}"
    try:
        output = await transport.run_script(script, "to look for libvirt's sockets", timeout=timeout)
    except VirtumancerError:
        # An account that may run nothing is no mistake; it only leaves more causes open.
        return None
    pairs = (line.partition(" ") for line in output.splitlines())
    return [(state, path) for state, _, path in pairs if state in _STATES]
