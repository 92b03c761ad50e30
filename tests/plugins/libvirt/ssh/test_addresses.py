"""A host is reached however its address is written."""

from pathlib import Path

import pytest

from tests.lab.processes import free_port
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import opened
from virtumancer_libvirt.uri.uri import parse

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("written", ["::1%1", "::1%251"])
async def test_an_address_with_a_zone_is_reached(lab: None, tmp_path: Path, written: str) -> None:
    port = free_port()
    with PrivateSshd(tmp_path / "sshd", options={"ListenAddress": f"[::1]:{port}"}) as server:
        server.known_hosts.write_text(f"[::1%1]:{port} {server.host_public_key}\n")
        uri = parse(f"qemu+ssh://root@[{written}]:{port}/system?keyfile={server.user_key}")
        async with opened(server, uri=uri):
            assert server.login_count() == 1


async def test_a_configuration_full_of_what_openssh_takes_leads_to_the_host(
    server: PrivateSshd, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_bytes(
        f"""# B\xfcro
        Host *
            KexAlgorithms -sntrup761x25519-sha512@openssh.com
            Ciphers ^of-tomorrow@openssh.com
            MACs hmac-ripemd160,hmac-sha2-256
            HostKeyAlgorithms +ssh-dss
            PubkeyAcceptedAlgorithms +ssh-rsa,ssh-dss
            ServerAliveInterval 1m # all of them
            LocalCommand echo 'it
        Match version OpenSSH_10.* sessiontype shell
            Port 1
        Match host kvm # rack 3
            HostName "127.0.0.1" # rack 3
            User = root
            Port {server.port}
            IdentityFile {tmp_path}/sshd/user_key
        """.encode("latin-1")
    )
    async with opened(server, uri=parse("qemu+ssh://kvm/system"), ssh_config=str(config)):
        assert server.login_count() == 1
