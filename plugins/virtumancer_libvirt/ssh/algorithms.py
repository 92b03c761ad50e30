"""Which SSH algorithms are offered: what ssh_config asks for, as far as it is known here."""

from collections.abc import Sequence

from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_default_kex_algs, get_kex_algs
from asyncssh.mac import get_default_mac_algs, get_mac_algs
from asyncssh.public_key import get_certificate_algs, get_public_key_algs

from virtumancer.errors import HostUnreachable
from virtumancer_libvirt.ssh.config_words import fits, printable

__all__ = ["chosen_ciphers", "chosen_host_key_algorithms", "chosen_kex", "chosen_macs"]

_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes128-ctr",
)
"""AES-GCM first: it costs half of the processor time of chacha20, and all of it is spent on the event loop."""


def chosen_kex(asked: str | None) -> Sequence[str]:
    """Return the key exchanges to offer."""
    return _chosen("KexAlgorithms", asked, _names(get_default_kex_algs()), _names(get_kex_algs()))


def chosen_ciphers(asked: str | None) -> Sequence[str]:
    """Return the ciphers to offer."""
    return _chosen("Ciphers", asked, _CIPHERS, _names(get_encryption_algs()))


def chosen_macs(asked: str | None) -> Sequence[str]:
    """Return the message authentication codes to offer."""
    return _chosen("MACs", asked, _names(get_default_mac_algs()), _names(get_mac_algs()))


def chosen_host_key_algorithms(asked: str | None, usual: Sequence[str], *, certificates: bool) -> Sequence[str]:
    """Return the host key algorithms to ask for; `usual` is what is asked for without a wish."""
    possible = _names([*(get_certificate_algs() if certificates else ()), *get_public_key_algs()])
    return _chosen("HostKeyAlgorithms", asked, usual, possible)


def _chosen(option: str, asked: str | None, usual: Sequence[str], possible: Sequence[str]) -> Sequence[str]:
    """Apply a list, with `+`, `-` or `^` before it a change of the usual one. Names not known here are skipped.

    OpenSSH of every version has names of its own: they are no reason to lose a host while one is left.
    """
    if not asked:
        return usual
    sign = asked[0] if asked[0] in "+-^" else ""
    patterns = asked.removeprefix(sign).split(",")
    named = [name for pattern in patterns for name in possible if fits(name, pattern)]
    results = {
        "": named,
        "+": [*usual, *named],
        "^": [*named, *usual],
        "-": [name for name in usual if name not in named],
    }
    result = list(dict.fromkeys(results[sign]))
    if not result:
        raise HostUnreachable(
            f"{option} {printable(asked)} in the SSH configuration leaves no algorithm that is known here; add one of "
            f"{', '.join(possible)}"
        )
    return result


def _names(algorithms: Sequence[bytes]) -> Sequence[str]:
    return [name.decode() for name in algorithms]
