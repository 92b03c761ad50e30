"""A small Linux for guests: Debian's cloud kernel and an initramfs of busybox, made once and kept in a cache."""

import hashlib
import lzma
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .errors import LabError
from .processes import find_program, run, wait_until

READY_WORD = "lab-guest-ready"

# Without evdev there is no power button.
_MODULES = (
    "button",
    "evdev",
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_balloon",
)

_START = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /sbin /usr/bin /usr/sbin /var/run /var/log /tmp /root
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec /sbin/init </dev/console >/dev/console 2>&1
"""

_BOOT = f"""\
#!/bin/sh
hostname lab
# Which module needs which other differs between kernels: go through them until all are in.
for pass in 1 2 3 4; do
    : >/tmp/pass$pass
    for module in {" ".join(_MODULES)}; do
        [ -e /modules/$module.ko ] || continue # built in
        [ -d /sys/module/$module ] && continue
        insmod /modules/$module.ko 2>>/tmp/pass$pass
    done
done
cat /tmp/pass4
ip link set lo up
for interface in /sys/class/net/eth*; do [ -e $interface ] && ip link set ${{interface##*/}} up; done
acpid
# A press of the power button before acpid has opened it would be lost.
until ls -l /proc/$(pidof acpid)/fd | grep -q /dev/input/event; do usleep 20000; done
"""

_SHELL = f"""\
#!/bin/sh
echo {READY_WORD}
exec /bin/sh -l
"""

_FILES = {
    "init": _START,
    "etc/boot": _BOOT,
    "etc/shell": _SHELL,
    "etc/acpi/PWRF/00000080": "#!/bin/sh\npoweroff -f\n",
    "etc/profile": "export PS1='lab# ' HOME=/root\ncd\n",
    "etc/inittab": "::sysinit:/etc/boot\n"
    "ttyS0::respawn:/sbin/getty -n -l /etc/shell 115200 ttyS0 vt100\n"
    "tty1::respawn:/sbin/getty -n -l /etc/shell 38400 tty1 linux\n",
}


class LinuxKernel(NamedTuple):
    """What a guest needs for a direct kernel boot."""

    kernel: Path
    initramfs: Path


def linux_kernel(cache: Path | None = None) -> LinuxKernel:
    """The kernel and initramfs, from the cache or, the first time, from Debian's mirror."""
    cache = cache or _default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    extracted = _kernel_package(cache)
    return LinuxKernel(extracted / "vmlinuz", _initramfs(extracted))


def wait_for_guest(serial_log: Path, boots: int = 1, timeout: float = 60.0) -> None:
    """Wait until a guest is ready; with `boots`, until it has become ready that many times since its start."""
    wait_until(
        lambda: serial_log.exists() and serial_log.read_bytes().count(READY_WORD.encode()) >= boots,
        f"{READY_WORD!r} ({boots} times) in the guest's serial log {serial_log}",
        timeout,
        pause=0.05,
    )


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "virtumancer-lab"


def _kernel_package(cache: Path) -> Path:
    """The folder with the kernel and the modules of Debian's present kernel, or of one that is cached."""
    try:
        package, version = _present_package()
        folder = cache / f"{package}_{version.replace(':', '%3a')}"
        return _built(folder, lambda scratch: _download(package, version, scratch))
    except LabError as error:
        cached = sorted(path for path in cache.glob("linux-image-*") if path.is_dir())
        if not cached:
            raise LabError(
                f"No kernel is cached in {cache} and none can be fetched (apt-get update?): {error}"
            ) from error
        warnings.warn(
            f"Using the cached {cached[-1].name}, for Debian's kernel cannot be fetched: {error}", stacklevel=2
        )
        return cached[-1]


def _present_package() -> tuple[str, str]:
    """The name and version of the package with the kernel itself, which the unversioned package depends on."""
    shown = run([find_program("apt-cache"), "show", "--no-all-versions", "linux-image-cloud-amd64"]).stdout
    depends = re.search(r"^Depends: (linux-image-\S+) \(= (\S+)\)", shown, re.MULTILINE)
    if depends is None:
        raise LabError(f"Debian's linux-image-cloud-amd64 depends on no kernel:\n{shown}")
    return depends[1], depends[2]


def _download(package: str, version: str, folder: Path) -> None:
    """Fetch a kernel package and keep its kernel and the few modules; nothing is installed."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # apt-get writes into the current folder, and as root it insists on a sandbox user that may not.
        fetch = f"cd {scratch} && exec apt-get -q -o APT::Sandbox::User=root download {package}={version}"
        run(["sh", "-c", fetch], timeout=300)
        package_file = next(Path(scratch).glob("*.deb"))
        content = Path(scratch) / "content"
        run([find_program("dpkg"), "-x", str(package_file), str(content)], timeout=300)
        shutil.copy(next((content / "boot").glob("vmlinuz-*")), folder / "vmlinuz")
        (folder / "modules").mkdir()
        built_in = {Path(line).stem for line in next(content.rglob("modules.builtin")).read_text().split()}
        for module in _MODULES:
            if module not in built_in:
                _copy_module(content, module, folder / "modules")


def _copy_module(content: Path, module: str, folder: Path) -> None:
    """Put a module there as it is loaded; Debian 13 has them compressed."""
    plain, packed = (next(content.rglob(f"{module}.{kind}"), None) for kind in ("ko", "ko.xz"))
    if plain:
        shutil.copy(plain, folder)
    elif packed:
        (folder / f"{module}.ko").write_bytes(lzma.decompress(packed.read_bytes()))
    else:
        raise LabError(f"Debian's kernel has no module {module}.")


def _initramfs(extracted: Path) -> Path:
    """The initramfs for a kernel; another recipe or another busybox makes another one."""
    busybox = Path(find_program("busybox"))
    recipe = hashlib.sha256(busybox.read_bytes() + repr((_MODULES, sorted(_FILES.items()))).encode())
    folder = _built(
        extracted / f"initramfs-{recipe.hexdigest()[:16]}",
        lambda scratch: _pack_initramfs(extracted / "modules", busybox, scratch),
    )
    return folder / "initramfs.gz"


def _pack_initramfs(modules: Path, busybox: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        root = Path(scratch)
        shutil.copytree(modules, root / "modules")
        (root / "bin").mkdir()
        shutil.copy(busybox, root / "bin" / "busybox")
        for name, text in _FILES.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        pack = f"cd {root} && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 > {folder}/initramfs.gz"
        run([find_program("bash"), "-o", "pipefail", "-c", pack])


def _built(target: Path, build: Callable[[Path], None]) -> Path:
    """A folder that exists complete or not at all, whoever else builds it at the same time."""
    if target.is_dir():
        return target
    scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
    try:
        build(scratch)
        scratch.chmod(0o755)
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():  # nobody was faster: the rename itself failed
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)  # gone already when it was renamed
    return target
