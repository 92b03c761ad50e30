"""A libvirt URI is understood as libvirt would, or refused with the cure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtumancer.errors import InvalidValue
from virtumancer_libvirt.uri.uri import LibvirtURI, parse

GOOD = {
    "qemu:///system": LibvirtURI("qemu", path="/system"),
    "test:///default": LibvirtURI("test", path="/default"),
    "test:///srv/node.xml": LibvirtURI("test", path="/srv/node.xml"),
    "QEMU+SSH://kvm1/system": LibvirtURI("qemu", "ssh", host="kvm1", path="/system"),
    "qemu+ssh://root@192.168.1.10/system": LibvirtURI("qemu", "ssh", "root", "192.168.1.10", None, "/system"),
    "qemu+ssh://kvm1:2222/session": LibvirtURI("qemu", "ssh", None, "kvm1", 2222, "/session"),
    "qemu+ssh://me@[2001:db8::1]:22/system": LibvirtURI("qemu", "ssh", "me", "2001:db8::1", 22, "/system"),
    "qemu+ssh://[fe80::1%25eth0]/system": LibvirtURI("qemu", "ssh", None, "fe80::1%eth0", None, "/system"),
    "qemu+ssh://me@[fe80::1%eth0]:23/system": LibvirtURI("qemu", "ssh", "me", "fe80::1%eth0", 23, "/system"),
    "qemu+tcp://[fe80::1%25eth0]/system": LibvirtURI("qemu", "tcp", None, "fe80::1%eth0", None, "/system"),
    "qemu+ssh://kvm1.example./system": LibvirtURI("qemu", "ssh", host="kvm1.example.", path="/system"),
    "qemu+ssh://me%40realm@kvm1/system": LibvirtURI("qemu", "ssh", "me@realm", "kvm1", None, "/system"),
    "qemu+tls://kvm1/system?pkipath=/etc/pki": LibvirtURI(
        "qemu", "tls", host="kvm1", path="/system", params={"pkipath": "/etc/pki"}
    ),
    "qemu+unix:///system?socket=/run/a%20b": LibvirtURI("qemu", "unix", path="/system", params={"socket": "/run/a b"}),
    "xen+ssh://kvm1/": LibvirtURI("xen", "ssh", host="kvm1", path="/"),
    "esx://esx1/?transport=https": LibvirtURI("esx", host="esx1", path="/", params={"transport": "https"}),
    "lxc:///": LibvirtURI("lxc", path="/"),
    "vpx://vc1/Data%20centre/a%252Fb": LibvirtURI("vpx", host="vc1", path="/Data centre/a%2Fb"),
    "qemu+ssh://kvm1/s%65ssion": LibvirtURI("qemu", "ssh", host="kvm1", path="/session"),
    "qemu+ssh://k%76m1/system": LibvirtURI("qemu", "ssh", host="kvm1", path="/system"),
    "test:///def%61ult": LibvirtURI("test", path="/default"),
    "test:///n%256Fde.xml": LibvirtURI("test", path="/n%6Fde.xml"),
    "qemu+ssh://kvm1/system?mode=legacy&no_tty=1": LibvirtURI(
        "qemu", "ssh", host="kvm1", path="/system", params={"mode": "legacy", "no_tty": "1"}
    ),
}

REFUSED = {
    "": "empty",
    " qemu:///system": "character",
    "qemu:///sys tem": "character",
    "qemu:///system\n": "character",
    "qemu:///system#x": "character",
    "qemu+ssh://kvm1/system?socket=%0a": "escape",
    "qemu+ssh://kvm1/system?socket=%zz": "escape",
    "qemu+ssh://kvm1/system?socket=/%ff": "UTF-8",
    "qemu+ssh://" + "a" * 3000: "longer",
    "kvm1": "://",
    "//kvm1/system": "://",
    "://kvm1/system": "://",
    "qemu+ext://kvm1/system?command=/bin/x": "runs a program",
    "qemu+carrier://kvm1/system": "unknown",
    "qemu+ssh:///system": "needs a host",
    "qemu+tcp:///system": "needs a host",
    "qemu+ssh://root@/system": "needs a host",
    "qemu+unix://kvm1/system": "takes no host",
    "qemu+ssh://:22/system": "no host",
    "qemu+ssh://kvm1:0/system": "port",
    "qemu+ssh://kvm1:65536/system": "port",
    "qemu+ssh://kvm1:ssh/system": "port",
    "qemu+ssh://2001:db8::1/system": "brackets",
    "qemu+ssh://[2001:db8::g]/system": "IPv6",
    "qemu+ssh://[::1/system": "brackets",
    "qemu+ssh://-oProxyCommand=x/system": "host name",
    "qemu+ssh://$(id)/system": "host name",
    "qemu+ssh://-l@kvm1/system": "user name",
    "qemu+ssh://kvm1": "/system or /session",
    "qemu+ssh://kvm1/default": "/system or /session",
    "qemu:///embed?root=/srv": "/embed",
    "qemu:///%65mbed?root=/srv": "/embed",
    "lxc:///embed": "/embed",
    "qemu+tcp://kvm1/embed?root=/srv": "/embed",
    "qemu://": "/system or /session",
    "qemu:///system/": "/system or /session",
    "qemu:///": "/system or /session",
    "openvz:///session": "/system",
    "vmwareplayer:///system": "/session",
    "test://": "/default",
    "test:///%ff": "path",
    "test:///a%c2%85b": "path",
    "stranger:///system": "unknown to libvirt",
    "vpx:///centre": "needs a host",
    "qemu://[fe80::1%25a%5D%2fembed%3Fno_verify=1]/system": "zone",
    "qemu://[fe80::1%25]/system": "zone",
    "qemu://[fe80::1%]/system": "zone",
    "qemu://[fe80::1%e/th0]/system": "brackets",
    "qemu+ssh://kvm1../system": "neither a host name",
    "qemu+ssh://./system": "neither a host name",
    "qemu+ssh://kvm1/system?command=/bin/x": "command",
    "qemu+ssh://kvm1/system?netcat=/bin/nc": "netcat",
    "qemu:///system?command=/bin/x": "command",
    "qemu+tcp://kvm1/system?Net%63at=/bin/nc": "netcat",
    "qemu+ssh://kvm1/system?no_verify=1": "always verified",
    "qemu+tls://kvm1/system?no_verify=1": "always verified",
    "qemu+tls://kvm1/system?NO_VERIFY=1": "always verified",
    "esx://esx1/?transport=http": "without TLS",
    "vpx://vc1/centre/esx1?Trans%70ort=HTTP": "without TLS",
    "hyperv://hv1/?transport=http": "without TLS",
    "qemu+tls://kvm1/system?name=x;no_verify=1": "always verified",
    "qemu+ssh://kvm1/system?known_hosts_verify=ignore": "always verified",
    "qemu+libssh2://kvm1/system?known_hosts_verify=auto": "always verified",
    "qemu+ssh://kvm1/system?sshauth=password": "password",
    "qemu+ssh://kvm1/system?sshauth=agent,keyboard-interactive": "agent and privkey",
    "qemu+ssh://kvm1/system?proxy=netcat": "forwarded by sshd",
    "qemu+ssh://kvm1/system?mode=other": "auto, legacy or direct",
    "qemu+ssh://kvm1/system?keyfile=id_rsa": "absolute",
    "qemu+ssh://kvm1/system?sockt=/run/x": "did you mean socket?",
    "qemu+ssh://kvm1/system?pkipath=/etc": "unknown",
    "qemu+ssh://kvm1/system?mode=auto&mode=direct": "twice",
    "qemu+ssh://kvm1/system?mode": "name=value",
}


@pytest.mark.parametrize(("text", "uri"), GOOD.items())
def test_a_good_uri_is_understood(text: str, uri: LibvirtURI) -> None:
    assert parse(text) == uri


@pytest.mark.parametrize("text", GOOD)
def test_a_uri_written_out_is_the_same_uri(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(("text", "word"), REFUSED.items())
def test_a_bad_uri_is_refused_with_its_reason(text: str, word: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        parse(text)
    assert refusal.value.field == "uri"
    assert word in refusal.value.message


@pytest.mark.parametrize("spelling", ["ssh", "libssh", "libssh2"])
def test_every_ssh_client_of_libvirt_means_our_own(spelling: str) -> None:
    assert parse(f"qemu+{spelling}://kvm1/system").is_ssh


@pytest.mark.parametrize("password", ["hunter2", "hun/ter2", "hunt?er2", "hun@ter2", "", "hunter2;", "hun%2fter2"])
def test_a_password_is_refused_and_never_repeated(password: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        parse(f"qemu+ssh://root:{password}@kvm1/system")
    pieces = [piece for piece in password.replace("%2f", "/").replace("?", "/").replace("@", "/").split("/") if piece]
    assert not any(piece in refusal.value.message for piece in pieces)


def test_a_uri_for_a_forwarded_socket_names_it_and_keeps_what_libvirt_needs() -> None:
    uri = parse("qemu+ssh://root@kvm1/session?name=qemu:///session&keyfile=/k&mode=direct")
    assert uri.local_uri("/run/user/0/a b&c/s") == (
        "qemu+unix:///session?socket=/run/user/0/a%20b%26c/s&name=qemu:///session"
    )


def test_the_modular_daemon_is_tried_before_the_one_for_everything() -> None:
    assert parse("qemu+ssh://kvm1/system").socket_candidates()[:2] == (
        "/run/libvirt/virtqemud-sock",
        "/run/libvirt/libvirt-sock",
    )


@pytest.mark.parametrize(
    ("driver", "daemon"), [("xen", "virtxend"), ("lxc", "virtlxcd"), ("ch", "virtchd"), ("bhyve", "virtbhyved")]
)
def test_every_hypervisor_has_its_own_daemon(driver: str, daemon: str) -> None:
    uri = parse(f"{driver}+ssh://kvm1/system?mode=direct")
    assert uri.socket_candidates() == (f"/run/libvirt/{daemon}-sock", f"/var/run/libvirt/{daemon}-sock")


def test_mode_legacy_means_the_one_daemon_for_everything() -> None:
    candidates = parse("qemu+ssh://kvm1/system?mode=legacy").socket_candidates()
    assert candidates == ("/run/libvirt/libvirt-sock", "/var/run/libvirt/libvirt-sock")


def test_a_socket_that_is_named_wins_alone() -> None:
    assert parse("qemu+ssh://kvm1/session?socket=/srv/s").socket_candidates(("/run/user/7",)) == ("/srv/s",)


def test_a_session_is_looked_for_where_its_user_has_it() -> None:
    candidates = parse("qemu+ssh://kvm1/session").socket_candidates(("/run/user/7/libvirt", "/home/x/.cache/libvirt"))
    assert candidates == (
        "/run/user/7/libvirt/virtqemud-sock",
        "/run/user/7/libvirt/libvirt-sock",
        "/home/x/.cache/libvirt/virtqemud-sock",
        "/home/x/.cache/libvirt/libvirt-sock",
    )


def test_a_key_file_that_is_named_is_used_even_when_only_the_agent_was_asked_for() -> None:
    target = parse("qemu+ssh://kvm1/system?sshauth=agent&keyfile=/k").ssh_target
    assert (target.keyfile, target.key_files, target.agent) == ("/k", True, True)


def test_sshauth_privkey_leaves_the_agent_alone() -> None:
    assert not parse("qemu+ssh://kvm1/system?sshauth=privkey").ssh_target.agent


@given(st.text(max_size=60) | st.text(alphabet="qemu+sh:/@[]?&=;%.-_01a", max_size=60).map("qemu+ssh://".__add__))
def test_any_text_is_a_uri_or_an_invalid_value(text: str) -> None:
    try:
        uri = parse(text)
    except InvalidValue:
        return
    assert parse(str(uri)) == uri


HOSTS = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z][a-z0-9]{0,5})?", fullmatch=True) | st.ip_addresses(
    v=4
).map(str)
PATHS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20).map("/".__add__)


@given(
    host=HOSTS | st.ip_addresses(v=6).map(str),
    user=st.none() | st.from_regex(r"[a-z_][a-z0-9._-]{0,10}", fullmatch=True),
    port=st.none() | st.integers(1, 65535),
    socket=PATHS,
)
def test_every_uri_that_we_write_reads_back_the_same(
    host: str, user: str | None, port: int | None, socket: str
) -> None:
    uri = LibvirtURI("qemu", "ssh", user, host, port, "/system", {"socket": socket})
    assert parse(str(uri)) == uri
