"""What the operator allows of URIs, beside what is refused anyway."""

from pathlib import Path

import pytest

from virtumancer.config import load_config
from virtumancer.errors import InvalidValue
from virtumancer.plugins import load_configured_plugins
from virtumancer_libvirt.config import LibvirtConfig
from virtumancer_libvirt.driver import LibvirtDriver


@pytest.mark.parametrize(
    "uri", ["test:///etc/passwd", "test:///srv/node.xml", "test:///default/../x", "test:////default", "TEST:///x"]
)
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
    plugins = load_configured_plugins(load_config(file, {"HOME": str(tmp_path)}, {}).plugins)

    driver = plugins.drivers["qemu"].driver
    with pytest.raises(InvalidValue, match="these URI schemes here"):
        driver.check_uri("test:///default")
