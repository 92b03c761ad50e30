"""Why no socket of a host answers: sshd gives one and the same word for every reason, so the host is asked."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from virtumancer.errors import HypervisorError, VirtumancerError

if TYPE_CHECKING:
    from virtumancer_libvirt.ssh.transport import SSHTransport

__all__ = ["NoSocketAnswers", "explain_silence"]

_FORWARDING = (
    "AllowStreamLocalForwarding and without DisableForwarding in its sshd_config, and without restrict or "
    "no-port-forwarding for the key in authorized_keys"
)
_LOOK = """for s do
[ -S "$s" ] || continue
if [ -w "$s" ]; then echo "open $s"; else echo "locked $s"; fi
done; :"""


class NoSocketAnswers(HypervisorError):
    """None of the sockets where libvirt may listen accepts a connection."""


async def explain_silence(
    transport: "SSHTransport", host: str, paths: Sequence[str], timeout: float
) -> NoSocketAnswers:
    """Look at the sockets from inside, if the host lets us, and return the error that says what to do."""
    found = await _look(transport, paths, timeout)
    tried = f"no libvirt daemon answers on {host}; tried {', '.join(paths) or 'nothing'}"
    if found is None:
        cure = (
            "start libvirtd or virtqemud there, let the SSH user open its socket (often: be in group libvirt), and let "
            f"sshd forward to it with {_FORWARDING}"
        )
    elif there := [path for state, path in found if state == "open"]:
        cure = f"{', '.join(there)} is there: let sshd forward to it with {_FORWARDING}, or start its daemon if it died"
    elif locked := [path for _, path in found]:
        cure = f"the SSH user may not open {', '.join(locked)}: often it has to be in group libvirt"
    else:
        cure = "none of them is there: start libvirtd or virtqemud, or name the socket with socket= in uri"
    return NoSocketAnswers(f"{tried}. To cure it, {cure}")


async def _look(transport: "SSHTransport", paths: Sequence[str], timeout: float) -> list[tuple[str, str]] | None:
    words = " ".join(shlex.quote(word) for word in ("sh", "-c", _LOOK, "sh", *paths))
    try:
        output = await transport.run(words, timeout=timeout)
    except VirtumancerError:
        # An account that may run nothing is no mistake; it only leaves more causes open.
        return None
    pairs = (line.partition(" ") for line in output.splitlines())
    return [(state, path) for state, _, path in pairs if state in {"open", "locked"}]
