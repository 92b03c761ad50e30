"""What OpenSSH takes we take too, and read the same from it: `ssh -G` is the witness."""

import getpass
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lab.requirements import requires
from tests.plugins.libvirt.ssh.config_corpus import CORPUS
from tests.plugins.libvirt.ssh.kit import settings
from virtumancer_libvirt.ssh.config import resolve
from virtumancer_libvirt.ssh.config_reader import HostConfig
from virtumancer_libvirt.uri.uri import parse


def written(folder: Path, text: str) -> Path:
    """The configuration in a file; half a surrogate stands for a byte that is no UTF-8."""
    path = folder / "config"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def ours(path: Path) -> dict[str, Any]:
    """What we read."""
    config = HostConfig("kvm", getpass.getuser())
    config.read(path)
    users, others = config.expanded_list("userknownhostsfile"), config.expanded_list("globalknownhostsfile")
    lists = {
        "userknownhostsfile": users and [str(Path(file).expanduser()) for file in users],
        "globalknownhostsfile": others,
    }
    words = {option: config.word(option) for option in ("hostkeyalias", "identityagent", "addressfamily", "proxyjump")}
    known = {
        "hostname": config.hostname,
        "port": config.port,
        "user": config.user,
        "identityfile": config.expanded_list("identityfile"),
        "certificatefile": config.expanded_list("certificatefile"),
        "identitiesonly": config.word("identitiesonly"),
    }
    return {option: value for option, value in (known | lists | words).items() if value is not None}


def theirs(path: Path) -> dict[str, Any] | None:
    """What OpenSSH reads, None when this version of it does not take the file."""
    ssh = subprocess.run(["ssh", "-G", "-F", str(path), "kvm"], capture_output=True, check=False)
    if ssh.returncode:
        return None
    found: dict[str, list[str]] = {"proxyjump": ["none"]}
    for line in ssh.stdout.decode("utf-8", "surrogateescape").splitlines():
        option, _, value = line.partition(" ")
        found.setdefault(option, []).append(value)
    found["proxyjump"] = found["proxyjump"][-1:]
    return {option: values[0] for option, values in found.items()} | {
        "port": int(found["port"][0]),
        "identityfile": found.get("identityfile", []),
        "certificatefile": found.get("certificatefile", []),
        "userknownhostsfile": found["userknownhostsfile"][0].split(" "),
        "globalknownhostsfile": found["globalknownhostsfile"][0].split(" "),
    }


@pytest.mark.parametrize(("text", "facts"), CORPUS.values(), ids=CORPUS.keys())
def test_no_host_is_lost_by_what_openssh_takes(tmp_path: Path, text: str, facts: dict[str, Any]) -> None:
    path = written(tmp_path, text)
    *_, hop = resolve(parse("qemu+ssh://kvm/system").ssh_target, settings(None, ssh_config=str(path)))
    assert hop.host == ours(path)["hostname"]
    assert facts.items() <= ours(path).items()


@pytest.mark.lab
@pytest.mark.parametrize("text", [text for text, _ in CORPUS.values()], ids=CORPUS.keys())
def test_openssh_reads_the_same(tmp_path: Path, text: str) -> None:
    requires("ssh")
    path = written(tmp_path, text)
    there, here = theirs(path), ours(path)
    if there is None:  # this version does not take it; another one does, or did
        return
    differences = {option: (value, there.get(option)) for option, value in here.items() if there.get(option) != value}
    assert not differences, "ours, theirs"
