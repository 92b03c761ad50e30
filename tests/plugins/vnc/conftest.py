"""QEMU's VNC servers, each for one test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.processes import run
from tests.lab.requirements import requires

from .qemu import Qemu

StartQemu = Callable[..., Qemu]


@pytest.fixture
def start_qemu(tmp_path: Path) -> Iterator[StartQemu]:
    """Start QEMU with these options of `-vnc` and further arguments."""
    requires("qemu-system-x86_64")
    started: list[Qemu] = []

    def start(vnc: str = "", *extra: str) -> Qemu:
        started.append(Qemu(tmp_path, vnc, extra))
        return started[-1]

    yield start
    for qemu in started:
        qemu.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what QEMU needs to be a TLS server, signed by itself."""
    requires("openssl")
    folder = tmp_path_factory.mktemp("pki")
    key, certificate = folder / "server-key.pem", folder / "server-cert.pem"
    names = ["-subj", "/CN=hypervisor", "-keyout", str(key), "-out", str(certificate)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    run(["openssl", "req", "-x509", *curve, "-nodes", "-days", "2", *names])
    (folder / "ca-cert.pem").write_bytes(certificate.read_bytes())
    group = ["-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"]
    run(["openssl", "genpkey", *group, "-out", str(folder / "dh-params.pem")])
    return folder
