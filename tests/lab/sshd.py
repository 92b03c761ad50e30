"""An SSH daemon of the lab's own, by default with all that a libvirt host offers."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from .libvirtd import PrivateLibvirtd
from .namespace import Namespace
from .processes import Daemon, find_program, free_port, run


class PrivateSshd:
    """sshd on 127.0.0.1 with host keys, an authorised user key and a known_hosts file made for it.

    Inside the namespace of a PrivateLibvirtd, its sessions find that libvirtd at libvirt's usual path.
    """

    def __init__(
        self,
        folder: Path,
        namespace: PrivateLibvirtd | None = None,
        *,
        host_key_types: Sequence[str] = ("ed25519",),
        allow_tcp_forwarding: bool = True,
        allow_stream_local_forwarding: bool = True,
        max_sessions: int = 10,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Without `allow_tcp_forwarding` it is no jump host; `options` are further settings of sshd_config."""
        self.folder = folder.resolve()
        self.user = "root"
        self.port = free_port()
        self.user_key = self.folder / "user_key"
        self.authorized_keys = self.folder / "authorized_keys"
        self.log = self.folder / "sshd.log"
        self._host_key_types = list(host_key_types)
        self._options = {
            "AllowTcpForwarding": _yes_or_no(allow_tcp_forwarding),
            "AllowStreamLocalForwarding": _yes_or_no(allow_stream_local_forwarding),
            "MaxSessions": str(max_sessions),
            # Whose tests these are has start-up files of a shell, which may be slow and mind being killed.
            "SetEnv": f"HOME={self.folder}",
            **(options or {}),
        }
        self._generation = 0  # of host keys
        self._own_namespace = Namespace() if namespace is None else None
        config = self.folder / "sshd_config"
        # With relative paths it resets every connection: it executes itself again from another folder.
        command = [find_program("sshd"), "-D", "-e", "-f", str(config)]
        within = namespace.namespace if namespace is not None else self._own_namespace
        assert within is not None
        self._daemon = Daemon("sshd", command, self.log, within)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd insists on it; elsewhere its service makes it
        _make_key(self.user_key, "ed25519")
        shutil.copy(self.user_key.with_suffix(".pub"), self.authorized_keys)
        self._make_host_keys()
        with ExitStack() as stack:
            if self._own_namespace is not None:
                stack.enter_context(self._own_namespace)
            stack.callback(self._daemon.kill)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if self._daemon.running:  # a test may have left it killed
                self._daemon.stop()

    @property
    def pid(self) -> int:
        return self._daemon.pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._daemon.running

    @property
    def known_hosts(self) -> Path:
        """The known_hosts file that fits the present host keys; files for earlier keys stay as they are."""
        return self._keys / "known_hosts"

    @property
    def host_public_key(self) -> str:
        """The first host key as in a .pub file: type and base64, without comment."""
        return self._host_public_keys()[0]

    @property
    def host_key_fingerprint(self) -> str:
        """The first host key's fingerprint, "SHA256:…"."""
        key = self._host_key(self._host_key_types[0])
        return run([find_program("ssh-keygen"), "-l", "-f", str(key)]).stdout.split()[1]

    def start(self) -> None:
        """Start after `kill` or `stop`, on the same port."""
        listening = f"Server listening on 127.0.0.1 port {self.port}."
        before = self._count(listening)
        # Asking the log instead of the port keeps the connections countable.
        self._daemon.start(lambda: self._count(listening) > before)

    def stop(self) -> None:
        """End sshd and its sessions in order."""
        self._daemon.stop()

    def freeze(self) -> None:
        """Make sshd and all its sessions hang with their connections open."""
        self._daemon.freeze()

    def thaw(self) -> None:
        self._daemon.thaw()

    def kill(self) -> None:
        """End sshd and all its sessions as a crash does."""
        self._daemon.kill()

    def new_host_key(self) -> None:
        """Restart with other host keys on the same port; `known_hosts` is another file then."""
        self.stop()
        self._make_host_keys()
        self.start()

    def connection_count(self) -> int:
        """How many TCP connections it has accepted since the context was entered."""
        return self._count("\nConnection from ")

    def login_count(self) -> int:
        """How many of its connections have got through authentication."""
        return self._count("\nAccepted publickey for ")

    def ssh_command(self, *command: str) -> list[str]:
        """The command line of OpenSSH's client for this sshd, free of the user's own configuration."""
        options = {
            "UserKnownHostsFile": str(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
        }
        words = [find_program("ssh"), "-F", "/dev/null", "-i", str(self.user_key), "-p", str(self.port)]
        for name, value in options.items():
            words += ["-o", f"{name}={value}"]
        return [*words, f"{self.user}@127.0.0.1", *command]

    def ssh(self, *command: str, timeout: float = 30.0) -> str:
        """What a command prints on the host: an observer that has nothing to do with the code under test."""
        return run(self.ssh_command(*command), timeout).stdout

    @property
    def _keys(self) -> Path:
        return self.folder / f"host_keys_{self._generation}"

    def _host_key(self, key_type: str) -> Path:
        return self._keys / f"ssh_host_{key_type}_key"

    def _host_public_keys(self) -> list[str]:
        files = [self._host_key(key_type).with_suffix(".pub") for key_type in self._host_key_types]
        return [" ".join(file.read_text().split()[:2]) for file in files]

    def _make_host_keys(self) -> None:
        self._generation += 1
        self._keys.mkdir()
        for key_type in self._host_key_types:
            _make_key(self._host_key(key_type), key_type)
        lines = [f"[127.0.0.1]:{self.port} {key}\n" for key in self._host_public_keys()]
        self.known_hosts.write_text("".join(lines))
        self._write_configuration()

    def _write_configuration(self) -> None:
        settings = [
            ("ListenAddress", f"127.0.0.1:{self.port}"),
            *(("HostKey", str(self._host_key(key_type))) for key_type in self._host_key_types),
            *self._options.items(),  # sshd takes the first of two, so these win over what follows
            ("AuthorizedKeysFile", str(self.authorized_keys)),
            ("PidFile", "none"),
            ("UsePAM", "no"),
            ("StrictModes", "no"),
            ("PermitRootLogin", "prohibit-password"),
            ("PasswordAuthentication", "no"),
            ("KbdInteractiveAuthentication", "no"),
            ("LogLevel", "VERBOSE"),
            ("PrintMotd", "no"),
            ("PrintLastLog", "no"),
            ("Subsystem", "sftp internal-sftp"),
        ]
        text = "".join(f"{name} {value}\n" for name, value in settings)
        (self.folder / "sshd_config").write_text(text)

    def _count(self, words: str) -> int:
        if not self.log.exists():
            return 0
        return self.log.read_text(errors="replace").replace("\r\n", "\n").count(words)


def _yes_or_no(answer: bool) -> str:
    return "yes" if answer else "no"


def _make_key(path: Path, key_type: str) -> None:
    run([find_program("ssh-keygen"), "-q", "-t", key_type, "-N", "", "-C", "lab", "-f", str(path)])
