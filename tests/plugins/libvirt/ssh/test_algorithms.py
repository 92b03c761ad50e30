"""Lists of algorithms in ssh_config choose among those that are known here; the others are skipped."""

import asyncssh
import pytest

from tests.plugins.libvirt.ssh.kit import settings
from virtumancer.errors import HostUnreachable
from virtumancer_libvirt.ssh.algorithms import (
    chosen_ciphers,
    chosen_host_key_algorithms,
    chosen_kex,
    chosen_macs,
)
from virtumancer_libvirt.ssh.config import Hop
from virtumancer_libvirt.ssh.connector import hop_options
from virtumancer_libvirt.ssh.host_keys import KnownKeys

USUAL = list(chosen_ciphers(None))
GCM = [name for name in USUAL if "gcm" in name]


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("aes256-ctr,aes128-ctr", ["aes256-ctr", "aes128-ctr"]),
        ("of-tomorrow,aes256-ctr", ["aes256-ctr"]),
        ("*128-gcm@openssh.com", GCM[:1]),
        ("+of-tomorrow,aes192-ctr", [*USUAL, "aes192-ctr"]),
        ("+aes128-ctr", USUAL),
        ("^aes128-ctr", ["aes128-ctr", *USUAL[:-1]]),
        ("^of-tomorrow", USUAL),
        ("-of-tomorrow", USUAL),
        ("-aes*-ctr,chacha20*", GCM),
    ],
)
def test_a_list_chooses_among_what_is_known(asked: str, chosen: list[str]) -> None:
    assert list(chosen_ciphers(asked)) == chosen


@pytest.mark.parametrize("asked", ["of-tomorrow", "-*"])
def test_a_list_that_leaves_nothing_names_itself_and_what_is_known(asked: str) -> None:
    with pytest.raises(HostUnreachable, match=r"Ciphers .*SSH configuration.*aes256-ctr"):
        chosen_ciphers(asked)


def test_host_key_algorithms_are_changed_where_those_of_known_keys_come_first() -> None:
    usual = ["ecdsa-sha2-nistp256", "ssh-ed25519"]
    chosen = chosen_host_key_algorithms("+ssh-rsa,sk-of-tomorrow", usual, certificates=False)
    assert list(chosen) == [*usual, "ssh-rsa"]


def test_no_certificate_is_asked_for_once_one_was_of_no_use() -> None:
    asked = "ssh-ed25519-cert-v01@openssh.com,ssh-ed25519"
    assert list(chosen_host_key_algorithms(asked, (), certificates=True)) == asked.split(",")
    assert list(chosen_host_key_algorithms(asked, (), certificates=False)) == ["ssh-ed25519"]


def test_the_library_takes_what_is_chosen() -> None:
    hop = Hop(
        host="kvm", port=22, user="me", name="kvm", kex_algs="-sntrup*", ciphers="+arcfour", macs="^hmac-ripemd160"
    )
    options = asyncssh.SSHClientConnectionOptions(**hop_options(hop, settings(None), KnownKeys()))
    assert [name.decode() for name in options.kex_algs] == list(chosen_kex("-sntrup*"))
    assert [name.decode() for name in options.mac_algs] == list(chosen_macs(None))
