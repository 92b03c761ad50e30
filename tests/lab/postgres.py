"""A PostgreSQL server of the lab's own."""

import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from .namespace import Namespace
from .processes import Daemon, find_program, free_port, run

# PostgreSQL refuses to run as root, and its user may not enter the folder of a test run. Inside the namespace that
# folder lies here, which Debian's package makes for that user.
_INSIDE = Path("/var/lib/postgresql")


class PrivatePostgres:
    """PostgreSQL on 127.0.0.1 and a unix socket; everybody may do everything, and nothing survives a power cut."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.host = "127.0.0.1"
        self.port = free_port()
        self.user = "postgres"
        self.database = "postgres"
        self.log = self.folder / "postgres.log"
        self._home = self.folder / "home"
        self._namespace = Namespace({self._home: _INSIDE})
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(_INSIDE),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "dynamic_shared_memory_type": "mmap",  # nothing in /dev/shm that a killed run would leave there
            "max_connections": "50",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [*self._as_user(), find_program("postgres"), "-D", str(_INSIDE / "data"), *options]
        self._daemon = Daemon("postgres", command, self.log, self._namespace)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._home.mkdir(parents=True)
        shutil.chown(self._home, self.user, self.user)
        with ExitStack() as stack:
            stack.enter_context(self._namespace)
            self._initialise()
            stack.callback(self._daemon.kill)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if self._daemon.running:  # a test may have left it killed
                self.stop()

    @property
    def socket_folder(self) -> Path:
        """The folder of the unix socket, which clients take as host name."""
        return self._home

    def start(self) -> None:
        """Start after `stop` or `kill`."""
        before = self._starts()
        self._daemon.start(lambda: self._starts() > before)

    def stop(self) -> None:
        """Stop without waiting for clients to leave."""
        self._daemon.stop(signal.SIGINT)

    def freeze(self) -> None:
        """Make the server hang with its connections open."""
        self._daemon.freeze()

    def thaw(self) -> None:
        self._daemon.thaw()

    def kill(self) -> None:
        """End the server as a crash does."""
        self._daemon.kill()

    def psql(self, query: str, database: str | None = None) -> str:
        """What psql prints for a query, unaligned and without headings."""
        command = [find_program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.host]
        command += ["-p", str(self.port), "-U", self.user, "-d", database or self.database, "-c", query]
        return run(command).stdout

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        quoted = name.replace('"', '""')
        self.psql(f'CREATE DATABASE "{quoted}"')

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        quoted = name.replace('"', '""')
        self.psql(f'DROP DATABASE "{quoted}" WITH (FORCE)')

    def dump(self, database: str | None = None) -> str:
        """A database, or all of them, with all that is in them, as SQL."""
        program = [find_program("pg_dumpall")] if database is None else [find_program("pg_dump"), "-d", database]
        return run([*program, "-h", self.host, "-p", str(self.port), "-U", self.user], 60.0).stdout

    def _initialise(self) -> None:
        initdb = [find_program("initdb"), "-D", str(_INSIDE / "data"), "-A", "trust", "-U", self.user]
        command = [*self._as_user(), *initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        run(self._namespace.enter(command))

    def _as_user(self) -> list[str]:
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups"]

    def _starts(self) -> int:
        """How often the log says that the server has started."""
        return self.log.read_text(errors="replace").count("ready to accept connections") if self.log.exists() else 0
