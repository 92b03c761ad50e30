"""The operator's ~/.ssh/config decides what the URI leaves open."""

from pathlib import Path

import pytest

from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import connect, opened, settings
from virtumancer.errors import HostKeyUnknown, HostUnreachable
from virtumancer_libvirt.ssh.config import Hop, resolve
from virtumancer_libvirt.uri.uri import parse


def hops(folder: Path, uri: str, config: str) -> tuple[Hop, ...]:
    """The way to a host under this configuration."""
    path = folder / "config"
    path.write_text(config)
    return resolve(parse(uri).ssh_target, settings(None, ssh_config=str(path), ssh_known_hosts=("~/k", "/etc/k")))


def test_an_alias_gets_the_host_port_and_user_of_its_block(tmp_path: Path) -> None:
    (hop,) = hops(tmp_path, "qemu+ssh://kvm/system", "Host kvm\nHostName kvm1.example\nPort 2222\nUser me\n")
    assert (hop.host, hop.port, hop.user) == ("kvm1.example", 2222, "me")


def test_the_uri_goes_before_the_configuration(tmp_path: Path) -> None:
    config = "Host kvm\nPort 2222\nUser me\nIdentityFile /a\nUserKnownHostsFile /b\n"
    (hop,) = hops(tmp_path, "qemu+ssh://you@kvm:22/system?keyfile=/c&known_hosts=/d", config)
    assert (hop.user, hop.port, hop.key_files, hop.known_hosts) == ("you", 22, ("/c",), ("/d",))


def test_known_hosts_are_asked_under_the_real_name_and_port(tmp_path: Path) -> None:
    (hop,) = hops(tmp_path, "qemu+ssh://kvm/system", "Host kvm\nHostName KVM1.example\nPort 2222\n")
    assert hop.address == "[kvm1.example]:2222"


def test_a_host_key_alias_is_the_whole_address(tmp_path: Path) -> None:
    (hop,) = hops(tmp_path, "qemu+ssh://kvm:2222/system", "HostKeyAlias rack7\n")
    assert hop.address == "rack7"


def test_a_known_hosts_file_of_the_configuration_replaces_the_users_own(tmp_path: Path) -> None:
    (hop,) = hops(tmp_path, "qemu+ssh://kvm/system", "UserKnownHostsFile /x /y\n")
    assert hop.known_hosts == ("/x", "/y", "/etc/k")


def test_jumps_are_resolved_hop_by_hop_with_options_of_their_own(tmp_path: Path) -> None:
    config = """
        Host kvm
          ProxyJump first,you@second:2022
        Host first
          HostName first.example
          Port 2001
          IdentityFile /first
          ProxyJump zero
        Host second
          IdentityFile /second
          ProxyJump never
    """
    way = hops(tmp_path, "qemu+ssh://kvm/system", config)
    assert [str(hop) for hop in way] == ["zero:22", "first.example:2001", "second:2022", "kvm:22"]
    assert [hop.key_files for hop in way[1:3]] == [("/first",), ("/second",)]
    assert way[2].user == "you"


def test_jumps_that_go_round_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="go round"):
        hops(tmp_path, "qemu+ssh://kvm/system", "ProxyJump bastion\n")


def test_an_ipv6_jump_host_is_understood(tmp_path: Path) -> None:
    way = hops(tmp_path, "qemu+ssh://kvm/system", "Host kvm\nProxyJump me@[2001:db8::1]:2022\n")
    assert str(way[0]) == "[2001:db8::1]:2022"


def test_a_proxy_command_is_refused_because_it_runs_a_program(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="use ProxyJump"):
        hops(tmp_path, "qemu+ssh://kvm/system", f"ProxyCommand touch {tmp_path}/ran\n")
    assert not (tmp_path / "ran").exists()


def test_match_exec_is_refused_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="Match exec"):
        hops(tmp_path, "qemu+ssh://kvm/system", f'Match exec "touch {tmp_path}/ran"\nUser me\n')
    assert not (tmp_path / "ran").exists()


def test_match_exec_for_other_hosts_does_no_harm(tmp_path: Path) -> None:
    config = f'Match host other exec "touch {tmp_path}/ran"\nUser me\nMatch host kvm\nUser you\n'
    (hop,) = hops(tmp_path, "qemu+ssh://kvm/system", config)
    assert hop.user == "you"
    assert not (tmp_path / "ran").exists()


def test_a_configuration_with_a_mistake_says_where(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="line 2"):
        hops(tmp_path, "qemu+ssh://kvm/system", "Host kvm\nPort many\n")


def test_what_cannot_be_filled_in_says_where(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match=r"line 1: /keys/%z: %z means nothing"):
        hops(tmp_path, "qemu+ssh://kvm/system", "IdentityFile /keys/%z\n")


def test_files_are_named_by_what_is_known_of_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACK", "7")
    config = "HostName %h.example\nPort 2222\nUser me\nIdentityFile /k/%r@%h:%p-%n-${RACK}\nUserKnownHostsFile /%k\n"
    (hop,) = hops(tmp_path, "qemu+ssh://kvm/system", config)
    assert hop.key_files == ("/k/me@kvm.example:2222-kvm-7",)
    assert hop.known_hosts[0] == "/kvm"


def test_a_jump_is_named_by_what_is_known_of_the_way(tmp_path: Path) -> None:
    config = "Host kvm\nHostName 10.0.0.1\nUser me\nProxyJump %r@gate-%n:ssh,%h.gate\n"
    way = hops(tmp_path, "qemu+ssh://kvm:23/system", config)
    assert [(hop.user, str(hop)) for hop in way[:1]] == [("me", "gate-kvm:22")]
    assert [str(hop) for hop in way] == ["gate-kvm:22", "10.0.0.1.gate:22", "10.0.0.1:23"]


def test_a_file_is_included_for_the_block_that_includes_it(tmp_path: Path) -> None:
    (tmp_path / "b.part").write_text("Host kvm\nUser b\n")
    (tmp_path / "a.part").write_text("Host *\nUser a\n")
    config = f"Host other\nInclude {tmp_path}/*.part\nHost kvm\nInclude {tmp_path}/*.part\nPort 23\n"
    (hop,) = hops(tmp_path, "qemu+ssh://kvm/system", config)
    assert (hop.user, hop.port) == ("a", 23)
    (hop,) = hops(tmp_path, "qemu+ssh://third/system", config)
    assert (hop.user, hop.port) != ("a", 23)


def test_files_that_include_one_another_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="Include go round"):
        hops(tmp_path, "qemu+ssh://kvm/system", f"Include {tmp_path}/config\n")


def test_match_exec_that_other_conditions_rule_out_does_no_harm(tmp_path: Path) -> None:
    config = f'Match exec "touch {tmp_path}/ran" host other\nUser me\nMatch host kvm\nUser you\n'
    (hop,) = hops(tmp_path, "qemu+ssh://kvm/system", config)
    assert hop.user == "you"


def test_a_name_with_the_dot_at_its_end_has_the_keys_of_the_name(tmp_path: Path) -> None:
    (hop,) = hops(tmp_path, "qemu+ssh://kvm1.example./system", "")
    assert (hop.host, hop.address) == ("kvm1.example.", "kvm1.example")


def test_a_text_in_another_encoding_is_told_in_one_that_can_be_sent(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"User J\xfcrgen\n")
    target = parse("qemu+ssh://kvm/system").ssh_target
    with pytest.raises(HostUnreachable, match="UTF-8") as refusal:
        resolve(target, settings(None, ssh_config=str(tmp_path / "config")))
    refusal.value.message.encode()


def test_without_a_configuration_the_defaults_hold() -> None:
    (hop,) = resolve(parse("qemu+ssh://me@kvm/system").ssh_target, settings(None))
    assert (hop.host, hop.port, hop.user, hop.agent_path) == ("kvm", 22, "me", None)


@pytest.mark.lab
class TestJumpHost:
    """A host behind a second sshd that has other keys."""

    @pytest.fixture
    def config(self, server: PrivateSshd, lab: None, tmp_path: Path) -> Path:
        path = tmp_path / "config"
        path.write_text(f"""
            Host kvm
              HostName 127.0.0.1
              Port {server.port}
              User root
              IdentityFile {server.user_key}
              ProxyJump bastion
        """)
        return path

    @pytest.fixture
    def bastion(self, config: Path, tmp_path: Path) -> PrivateSshd:
        bastion = PrivateSshd(tmp_path / "bastion")
        with config.open("a") as file:
            file.write(f"""
            Host bastion
              HostName 127.0.0.1
              Port {bastion.port}
              User root
              IdentityFile {bastion.user_key}
            """)
        return bastion

    async def test_a_host_behind_a_jump_host_is_reached(
        self, server: PrivateSshd, bastion: PrivateSshd, config: Path
    ) -> None:
        with bastion:
            known = (str(server.known_hosts), str(bastion.known_hosts))
            uri = parse("qemu+ssh://kvm/system")
            async with opened(server, uri=uri, ssh_config=str(config), ssh_known_hosts=known) as transport:
                assert await transport.run("echo here", timeout=5) == "here\n"
                assert (bastion.login_count(), server.login_count()) == (1, 1)

    async def test_the_key_of_a_jump_host_is_verified_as_any_other(
        self, server: PrivateSshd, bastion: PrivateSshd, config: Path
    ) -> None:
        with bastion:
            with pytest.raises(HostKeyUnknown) as refusal:
                await connect(server, uri=parse("qemu+ssh://kvm/system"), ssh_config=str(config))
            assert refusal.value.extra["host_key"]["address"] == f"[127.0.0.1]:{bastion.port}"
            assert server.connection_count() == 0

    async def test_the_key_of_a_host_behind_a_jump_host_is_verified_too(
        self, server: PrivateSshd, bastion: PrivateSshd, config: Path
    ) -> None:
        with bastion:
            known = (str(bastion.known_hosts),)
            with pytest.raises(HostKeyUnknown) as refusal:
                await connect(server, uri=parse("qemu+ssh://kvm/system"), ssh_config=str(config), ssh_known_hosts=known)
            assert refusal.value.extra["host_key"]["address"] == f"[127.0.0.1]:{server.port}"
            assert server.login_count() == 0

    async def test_the_loss_of_a_jump_host_is_the_loss_of_the_host(
        self, server: PrivateSshd, bastion: PrivateSshd, config: Path
    ) -> None:
        with bastion:
            known = (str(server.known_hosts), str(bastion.known_hosts))
            uri = parse("qemu+ssh://kvm/system")
            async with opened(server, uri=uri, ssh_config=str(config), ssh_known_hosts=known) as transport:
                bastion.kill()
                assert f"127.0.0.1:{bastion.port}" in await transport.wait_lost()

    async def test_a_jump_host_that_may_not_forward_is_named(
        self, server: PrivateSshd, tmp_path: Path, config: Path
    ) -> None:
        with PrivateSshd(tmp_path / "closed", allow_tcp_forwarding=False) as bastion:
            with config.open("a") as file:
                file.write(f"Host bastion\nHostName 127.0.0.1\nPort {bastion.port}\nIdentityFile {bastion.user_key}\n")
            known = (str(server.known_hosts), str(bastion.known_hosts))
            with pytest.raises(HostUnreachable, match="jump host cannot reach"):
                await connect(server, uri=parse("qemu+ssh://kvm/system"), ssh_config=str(config), ssh_known_hosts=known)
