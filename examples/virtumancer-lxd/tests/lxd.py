"""An LXD for tests: a daemon of its own, with a tiny image; all of it ends with the test run, whatever happens."""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROGRAMS = ("lxd", "busybox", "unshare", "setpriv")
APPLETS = ("sh", "setsid")
# A shell on the console, and an end at once when LXD asks for it; busybox's own init takes two seconds.
INIT = """#!/bin/sh
trap 'exit 0' PWR
: >/ready
while :; do
    setsid -c sh </dev/console >/dev/console 2>&1 &
    wait $!
done
"""
METADATA = "architecture: {machine}\ncreation_date: 1700000000\nproperties:\n  os: busybox\n  description: busybox\n"
# LXD looks for images and instance types on the Internet as it starts, and everything works without.
START_TIMEOUT = 30.0
REMOVE_TIMEOUT = 20.0


def missing() -> str:
    """Say what keeps an LXD from running here, empty when nothing does."""
    if os.geteuid() != 0:
        return "LXD needs root"
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    programs = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    return f"these programs are missing: {', '.join(programs)}" if programs else ""


class _Socket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("lxd", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class PrivateLXD:
    """A daemon in a folder and namespaces of its own; `api` asks it as its administrator does.

    Instances get names that no other daemon's have: they share the control groups of the machine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "lxd/unix.socket"
        self.log = folder / "lxd.log"
        self.mark = uuid4().hex[:6]
        self.port = _free_port()
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.socket.parent.mkdir(parents=True)
        # Those who are root in an instance are nobody here, and have to get to their files.
        self.folder.chmod(0o711)
        try:
            self.start()
            self.api("POST", "/1.0/storage-pools", {"name": "default", "driver": "dir"})
            root = {"type": "disk", "path": "/", "pool": "default"}
            self.api("PATCH", "/1.0/profiles/default", {"devices": {"root": root}})
            self._import_image()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the daemon, and wait until it answers."""
        # With the parent ends unshare, with it the daemon, and with that, process 1 in there, all instances.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        command += ["--mount-proc", "--propagation", "private", "lxd", "--group", "root", "--logfile", str(self.log)]
        environment = os.environ | {"LXD_DIR": str(self.socket.parent), "HOME": str(self.folder)}
        output = self.log.with_suffix(".out").open("ab")
        with output:
            self._daemon = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.api("GET", "/internal/ready")
            except (OSError, http.client.HTTPException, LXDError) as error:
                if self._daemon.poll() is not None or time.monotonic() > deadline:
                    said = self.log.with_suffix(".out").read_text(errors="replace")[-2000:]
                    raise LXDError(f"LXD does not start: {error}\n{said}") from error
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End the daemon and its instances at once."""
        if self._daemon:
            for pid in self._pids():
                os.kill(pid, signal.SIGKILL)
            self._daemon.wait()
            self._daemon = None
            with suppress(FileNotFoundError):
                self.socket.unlink()

    def freeze(self) -> None:
        """Make it hang, with its connections open."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Ask the daemon; what it does in the background is waited for. Returns the metadata of the answer."""
        connection = _Socket(self.socket)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer["type"] == "error":
            raise LXDError(f"{method} {path}: {answer['error']}")
        if answer["type"] == "async" and "/wait" not in path:
            done = self.api("GET", f"{answer['operation']}/wait?timeout=60")
            if done["status_code"] != 200:
                raise LXDError(f"{method} {path}: {done['err']}")
            return done
        return answer["metadata"]

    def make(self, name: str, *, running: bool = False, **config: str) -> str:
        """Make a container; returns its name."""
        source = {"type": "image", "alias": "tiny"}
        named = f"{name}-{self.mark}"
        self.api("POST", "/1.0/instances", {"name": named, "source": source, "config": config})
        if running:
            self.state(named, "start")
            deadline = time.monotonic() + START_TIMEOUT
            # Until then nobody in there hears that it is to stop.
            while not (self.root_of(named) / "ready").exists():
                if time.monotonic() > deadline:
                    raise LXDError(f"{named} does not start")
                time.sleep(0.02)
        return named

    def state(self, name: str, action: str, *, force: bool = True) -> None:
        """Change the power state of an instance, as somebody does outside."""
        self.api("PUT", f"/1.0/instances/{name}/state", {"action": action, "force": force, "timeout": 30})

    def remove(self, name: str) -> None:
        """Remove an instance, whether or not it runs."""
        deadline = time.monotonic() + REMOVE_TIMEOUT
        while True:
            with suppress(LXDError):
                # LXD 5.0 may take a minute to say that it is off already.
                if self.api("GET", f"/1.0/instances/{name}")["status"] != "Stopped":
                    self.state(name, "stop")
            try:
                self.api("DELETE", f"/1.0/instances/{name}")
            except LXDError:
                # LXD may still be busy with what the test has begun.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def root_of(self, name: str) -> Path:
        """The root folder of a container, as it is seen in the namespaces of the daemon."""
        pid = self._pids()[0]
        return Path(f"/proc/{pid}/root{self.socket.parent}/storage-pools/default/containers/{name}/rootfs")

    def listen(self, *trusted: str) -> str:
        """Listen on HTTPS, and trust these certificates; returns host and port."""
        self.api("PATCH", "/1.0", {"config": {"core.https_address": f"127.0.0.1:{self.port}"}})
        for number, pem in enumerate(trusted):
            der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
            certificate = {"type": "client", "name": f"test-{number}", "certificate": base64.b64encode(der).decode()}
            self.api("POST", "/1.0/certificates", certificate)
        return f"127.0.0.1:{self.port}"

    def _pids(self) -> list[int]:
        """The daemon itself, as the child of unshare; none when it has ended."""
        assert self._daemon
        with suppress(FileNotFoundError):
            children = Path(f"/proc/{self._daemon.pid}/task/{self._daemon.pid}/children").read_text()
            return [int(pid) for pid in children.split()]
        return []

    def _import_image(self) -> None:
        root = self.folder / "image/rootfs"
        for name in ("bin", "dev", "etc", "proc", "root", "sbin", "sys", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
        for applet in APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        (root / "sbin/init").write_text(INIT)
        (root / "sbin/init").chmod(0o755)
        (root.parent / "metadata.yaml").write_text(METADATA.format(machine=os.uname().machine))
        archive = self.folder / "image.tar"
        with tarfile.open(archive, "w") as tar:
            for name in ("metadata.yaml", "rootfs"):
                tar.add(root.parent / name, name)
        connection = _Socket(self.socket)
        try:
            connection.request(
                "POST", "/1.0/images", archive.read_bytes(), {"Content-Type": "application/octet-stream"}
            )
            operation = json.loads(connection.getresponse().read())["operation"]
        finally:
            connection.close()
        done = self.api("GET", f"{operation}/wait?timeout=60")
        if done["status_code"] != 200:
            raise LXDError(f"the image is not taken: {done['err']}")
        self.api("POST", "/1.0/images/aliases", {"name": "tiny", "target": done["metadata"]["fingerprint"]})


class LXDError(Exception):
    """LXD refused."""


def client_certificate(name: str = "virtumancer") -> tuple[str, str]:
    """Make a certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
