"""What the operator allows of URIs, beside what is refused anyway."""

from pathlib import Path

import pytest

from virtumancer.config import load_config
from virtumancer.errors import InvalidValue
from virtumancer.plugins import load_configured_plugins
from virtumancer_libvirt.config import LibvirtConfig
from virtumancer_libvirt.driver import LibvirtDriver

BY_THE_OPERATOR = [
    "test:///etc/passwd",
    "test:///srv/node.xml",
    "test:///default/../x",
    "test:////default",
    "TEST:///x",
    "test+unix:///etc/x.xml",
]
ROUND_ABOUT = [
    "qemu+unix:///system?name=test:///etc/x.xml",
    "qemu+unix:///system?name=test:///default",
    "qemu+unix:///system?name=qemu:///embed",
    "qemu+unix:///system?name=qemu:///embed%3Froot=/x",
    "qemu+unix:///system?name=qemu%2Btcp://elsewhere/system",
    "qemu+unix:///system?name=qemu:///system%3Fname=test:///x",
    "test+unix:///default?name=test:///etc/x.xml",
    "qemu+tls://kvm1/system?no_sanity=1",
    "qemu+tls://kvm1/system?tls_priority=NORMAL:%2BNULL",
    "qemu+tls://kvm1/system?known_hosts_verify=ignore",
    "esx://h/?authfile=/etc/shadow",
]


@pytest.mark.parametrize("uri", BY_THE_OPERATOR)
def test_a_file_of_the_manager_is_read_only_when_the_operator_says_so(uri: str) -> None:
    with pytest.raises(InvalidValue, match="local_files = true") as refused:
        LibvirtDriver().check_uri(uri)

    assert refused.value.field == "uri"
    LibvirtDriver(LibvirtConfig(local_files=True)).check_uri(uri)


def test_the_played_host_reads_no_file() -> None:
    LibvirtDriver().check_uri("test:///default")


def test_only_the_schemes_on_the_list_may_be_added() -> None:
    driver = LibvirtDriver(LibvirtConfig(schemes=("qemu+ssh", "qemu")))

    driver.check_uri("qemu+ssh://kvm1/system")
    driver.check_uri("qemu+libssh2://kvm1/system")
    driver.check_uri("qemu:///system")
    for uri in ("qemu+tcp://kvm1/system", "xen+ssh://kvm1/", "test:///default", "qemu+unix:///system"):
        with pytest.raises(InvalidValue, match=r"these URI schemes here: qemu\+ssh, qemu"):
            driver.check_uri(uri)


def test_the_table_is_read_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "v.toml"
    file.write_text('[plugins.libvirt]\nschemes = ["qemu+ssh"]\n')
    plugins = load_configured_plugins(load_config(file, {"HOME": str(tmp_path)}, {}).plugins, ())

    driver = plugins.drivers["qemu"].driver
    with pytest.raises(InvalidValue, match="these URI schemes here"):
        driver.check_uri("test:///default")


@pytest.mark.parametrize("uri", ROUND_ABOUT)
def test_no_way_round_leads_to_what_is_refused(uri: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        LibvirtDriver().check_uri(uri)

    assert refused.value.field == "uri"


@pytest.mark.parametrize("scheme", ["qemu+shh", "QEMU", "qemu+ssh://", ""])
def test_a_scheme_that_can_never_fit_is_a_mistake_of_the_configuration(tmp_path: Path, scheme: str) -> None:
    file = tmp_path / "v.toml"
    file.write_text(f'[plugins.libvirt]\nschemes = ["{scheme}"]\n')
    plugins = load_configured_plugins(load_config(file, {"HOME": str(tmp_path)}, {}).plugins, ())

    [info] = [info for info in plugins.infos if info.name == "libvirt"]
    assert (info.state, "schemes" in info.reason) == ("failed", True)
