"""Another Debian in a folder, in which the tests run on its Python and with its daemons."""

import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.release.parts import CannotRun

ROOT = Path(__file__).parents[2]
NEEDS = "The part `debian` needs root, debootstrap, a mirror of Debian, and a container that may mount."
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
# How this machine reaches package indexes; what else is in its environment stays here.
PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_DEFAULT_TIMEOUT", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL")
CERTIFICATES = ("NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
# In namespaces of mounts and processes of their own: nothing stays mounted or running when this ends, however it does.
# Not just a chroot: the lab makes namespaces, which needs a root that is a mount, and Chromium refuses a chroot.
_ENTER = """
mount --bind "$1" "$1"
cd "$1"
shift
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs run run
mkdir run/lock
pivot_root . mnt
chroot . sh -euc 'umount -l /mnt; cd /src; "$@"; exit 0' enter "$@"
exit 0
"""
UNSHARE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
# The whole of both costs most of an hour on two cores.
TIMEOUT = 3 * 3600.0
ALL = "scripts/setup --lab && .venv/bin/tox run -e packaging,tests"


def other_codename() -> str:
    """Name a Debian that this machine is not."""
    return "bookworm" if _release().get("VERSION_CODENAME") == "trixie" else "trixie"


class SecondDebian:
    """Makes one, or takes what is in `folder`, and runs the tests in it: all, or those that `tests` chooses."""

    def __init__(self, codename: str, mirror: str, folder: Path | None, tests: str) -> None:
        self._codename = codename
        self._mirror = mirror
        self._folder = folder
        self._command = f"scripts/test {shlex.join(shlex.split(tests))}" if tests else ALL

    def check(self) -> bool:
        """Say whether they passed. Raises `CannotRun`."""
        if reason := obstacle():
            raise CannotRun(reason)
        with self._place() as root:
            self._make(root)
            _equip(root)
            _copy_source(root / "src")
            ended = subprocess.run(
                [*UNSHARE, "sh", "-euc", _ENTER, "enter", root, "sh", "-euc", f"python3 --version; {self._command}"],
                env=_environment(),
                timeout=TIMEOUT,
                check=False,
            )
        return ended.returncode == 0

    @contextmanager
    def _place(self) -> Iterator[Path]:
        if self._folder:
            yield self._folder.resolve()
            return
        with tempfile.TemporaryDirectory(prefix="virtumancer-debian-", dir="/var/tmp") as folder:
            yield Path(folder)

    def _make(self, root: Path) -> None:
        complete = root / "complete"
        if complete.exists():
            return
        include = "--include=ca-certificates,python3,python3-venv"
        command = ["debootstrap", "--variant=minbase", include, self._codename, root]
        ended = subprocess.run(
            [*command, self._mirror] if self._mirror else command, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            said = [line for line in (ended.stdout + ended.stderr).splitlines() if line.startswith(("E:", "W:"))]
            raise CannotRun(f"debootstrap could not make {self._codename}: {(said or ['it said nothing'])[-1]}")
        complete.touch()


def obstacle() -> str:
    """Say why this machine can make no other Debian; empty when it can."""
    if os.geteuid() != 0:
        return "it needs root"
    for program in ("debootstrap", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return f"this machine permits no namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def _equip(root: Path) -> None:
    """Let it reach what this machine reaches: names, trusted certificates, and pip's index."""
    certificates = next((os.environ[name] for name in CERTIFICATES if name in os.environ), f"/{BUNDLE}")
    files = {"/etc/resolv.conf": "etc/resolv.conf", "/etc/hosts": "etc/hosts", "/etc/pip.conf": "etc/pip.conf"}
    for source, target in (files | {certificates: BUNDLE}).items():
        if Path(source).is_file():
            (root / target).unlink(missing_ok=True)
            shutil.copyfile(source, root / target)


def _environment() -> Mapping[str, str]:
    names = {name for known in PASSED_ON for name in (known, known.lower())}
    return {
        **{name: value for name, value in os.environ.items() if name in names},
        **dict.fromkeys(CERTIFICATES, f"/{BUNDLE}"),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
    }


def _copy_source(target: Path) -> None:
    """Copy what belongs to the source; an environment that was made there before stays."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:  # a source distribution
        shutil.copytree(ROOT, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".venv", ".tox", "__pycache__"))
        return
    for old in target.glob("[!.]*"):  # a file that is gone here is gone there
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in listed.stdout.split("\0"):
        source = ROOT / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)


def _release() -> Mapping[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
