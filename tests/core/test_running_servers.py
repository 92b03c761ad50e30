"""Servers say that they run where nobody else can say anything, and are found there, or not at all."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from virtumancer.config import Config, load_config
from virtumancer.errors import UsageError
from virtumancer.running import (
    Announcement,
    Record,
    RunningServer,
    Said,
    announce,
    choose,
    open_folder,
    record_of,
    running_servers,
    server_at,
    what_is_said,
)


class User:
    """Somebody with a home and a session of their own, and what they see of their servers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "session")}
        self.run = home / ".local/state/virtumancer/run"
        (home / "session").mkdir(parents=True)

    def config(self, database: str = "v", **flags: object) -> Config:
        return load_config(
            None, {"HOME": str(self.home)}, {"database.url": f"sqlite://{self.home}/{database}.db", **flags}
        )

    def serve(self, port: int = 8890, database: str = "v") -> Announcement:
        config = self.config(database)
        return announce(record_of(config, f"http://127.0.0.1:{port}", port), self.environ)

    def sees(self) -> list[tuple[str, int]]:
        """Where it sees which port served; servers of the same user from elsewhere are others' tests."""
        servers, _ = running_servers(self.environ)
        for server in servers:
            server.close()
        return [
            (server.folder.path.name, server.record.port)
            for server in servers
            if self.home in server.folder.path.parents
        ]

    def complaints(self) -> str:
        servers, complaints = running_servers(self.environ)
        for server in servers:
            server.close()
        return "\n".join(complaints)


@pytest.fixture
def user() -> Iterator[User]:
    # Tests bind sockets here themselves, whose paths may have 107 characters: pytest's own folders are longer.
    with TemporaryDirectory(prefix="vr") as folder:
        yield User(Path(folder) / "home")


@pytest.fixture
def served(user: User) -> Iterator[Announcement]:
    with closing(user.serve()) as announcement:
        yield announcement


def test_a_server_is_found_in_the_state_folder_first_and_once(user: User, served: Announcement) -> None:
    assert user.sees() == [("run", 8890)]
    assert served.path == user.run / "8890.sock"
    assert len(served.listeners) == 2


def test_it_is_found_by_a_shell_that_knows_the_session_only_or_the_home_only(user: User, served: Announcement) -> None:
    session, home = {**user.environ, "HOME": "/nowhere"}, {"HOME": str(user.home)}
    for environ in (session, home):
        servers, _ = running_servers(environ)
        assert any(server.record.database.endswith(f"{user.home}/v.db") for server in servers)
        for server in servers:
            server.close()


def test_only_its_user_may_look_in(user: User, served: Announcement) -> None:
    for folder in (user.run, user.home / "session/virtumancer"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "8890.json").stat().st_mode) == 0o600


def test_what_it_says_holds_no_secret(user: User) -> None:
    config = load_config(None, user.environ, {"database.url": "postgresql://me:secret@db.example.org/vms"})
    with closing(announce(record_of(config, "http://127.0.0.1:1", 1), user.environ)):
        said = json.loads((user.run / "1.json").read_text())
    assert said["database"] == "PostgreSQL database me@db.example.org/vms"
    assert "secret" not in json.dumps(said)


def test_it_takes_back_what_it_said(user: User) -> None:
    user.serve().close()
    assert (user.sees(), [*user.run.iterdir()]) == ([], [])


def test_one_that_was_killed_is_not_found_and_the_next_one_clears_up(user: User) -> None:
    for place in user.serve(port=1).listeners:
        place.close()  # as the kernel does
    assert [file.name for file in user.run.iterdir()] != []
    assert user.sees() == []

    with closing(user.serve(port=2)):
        assert user.sees() == [("run", 2)]
        assert sorted(file.name for file in user.run.iterdir()) == ["2.json", "2.sock"]


def test_one_that_is_killed_before_its_record_is_written_is_cleared_up_too(user: User) -> None:
    user.serve(port=1).close()
    with socket.socket(socket.AF_UNIX) as half_done:
        half_done.bind(str(user.run / "1.sock"))
    assert user.sees() == []
    with closing(user.serve(port=1)) as again:
        assert again.path == user.run / "1.sock"


def test_several_run_side_by_side_also_with_one_port_at_two_addresses(user: User, served: Announcement) -> None:
    with closing(user.serve(9000)), closing(user.serve(8890, "other")) as second:
        assert second.path == user.run / f"8890-{os.getpid()}.sock"
        assert sorted(port for _, port in user.sees()) == [8890, 8890, 9000]
    assert user.sees() == [("run", 8890)]


def test_one_that_ends_leaves_its_successor_alone(user: User) -> None:
    old = user.serve()
    for place in old.listeners:
        place.close()  # it has stopped listening, and disconnects its hosts
    with closing(user.serve(database="next")):
        old.close()
        assert user.sees() == [("run", 8890)]


def test_one_so_busy_that_it_takes_nobody_is_there(user: User, served: Announcement) -> None:
    served.listeners[0].listen(0)
    waiting: list[socket.socket] = []
    with suppress(BlockingIOError):
        for _ in range(10):
            waiting.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            waiting[-1].connect(str(served.path))
    assert user.sees() == [("run", 8890)]
    for one in waiting:
        one.close()


def test_a_path_that_is_longer_than_a_socket_may_have_is_none_to_us(tmp_path: Path) -> None:
    user = User(tmp_path / ("long" * 40))
    with closing(user.serve()) as served:
        assert len(str(served.path)) > 200
        assert user.sees() == [("run", 8890)]
        server = server_at(user.run / "8890.sock")
        assert len(server.url) < 108
        server.close()


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770, 0o1777])
def test_a_folder_that_others_may_look_into_is_used_by_nobody(user: User, served: Announcement, mode: int) -> None:
    user.run.chmod(mode)
    assert user.sees() == [("virtumancer", 8890)]
    assert f"chmod 700 {user.run}" in user.complaints()
    with pytest.raises(UsageError, match="others may look into"):
        server_at(user.run / "8890.sock")
    with closing(user.serve(9000)) as second:
        assert second.path == user.home / "session/virtumancer/9000.sock"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to somebody else")
def test_root_is_not_led_to_a_folder_that_somebody_made_where_anybody_may(user: User, served: Announcement) -> None:
    theirs = user.home / "session/virtumancer"
    os.chown(theirs, 12345, 12345)
    assert user.sees() == [("run", 8890)]
    user.run.rename(user.home / "gone")
    assert user.sees() == [("virtumancer", 8890)]  # in a folder of theirs it is the one that is meant

    (user.home / "session").chmod(0o1777)
    assert user.sees() == []
    assert f"{theirs} belongs to user 12345" in user.complaints()
    server_at(theirs / "8890.sock").close()  # root has named it


def test_a_link_to_a_folder_is_not_followed(user: User) -> None:
    (user.home / "private").mkdir(mode=0o700)
    (user.home / "session/virtumancer").symlink_to(user.home / "private")
    with closing(user.serve()) as served:
        assert served.path == user.run / "8890.sock"
        assert [*(user.home / "private").iterdir()] == []


def test_files_that_are_no_servers_are_left_alone(user: User, served: Announcement) -> None:
    for name in ("package.json", "notes.sock", "8890.json.old", "1.toml"):
        (user.run / name).touch()
    with closing(user.serve(9000)):
        assert len([*user.run.iterdir()]) == 4 + 4


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    user = User(tmp_path)
    (tmp_path / ".local").touch()
    with closing(user.serve()) as served:
        assert served.path == tmp_path / "session/virtumancer/8890.sock"
        assert user.sees() == [("virtumancer", 8890)]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 1}', "\0"])
def test_a_record_that_cannot_be_read_is_named_and_hides_no_other(
    user: User, served: Announcement, content: str
) -> None:
    with closing(user.serve(9000)):
        (user.run / "9000.json").write_text(content)
        assert ("run", 8890) in user.sees()
        assert f"{user.run}/9000.json cannot be read" in user.complaints()


def test_one_that_has_not_said_anything_yet_is_no_complaint(user: User, served: Announcement) -> None:
    (user.run / "8890.json").unlink()
    assert user.sees() == [("virtumancer", 8890)]
    assert str(user.run) not in user.complaints()
    with pytest.raises(UsageError, match="there is no server at"):
        server_at(user.run / "8890.sock")


def test_a_record_that_is_a_link_is_not_followed(user: User, served: Announcement, tmp_path: Path) -> None:
    (user.run / "8890.json").rename(tmp_path / "elsewhere.json")
    (user.run / "8890.json").symlink_to(tmp_path / "elsewhere.json")
    assert user.sees() == [("virtumancer", 8890)]


def test_who_is_not_there_is_a_sentence(user: User, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no server at .*none/8890\.sock"):
        server_at(tmp_path / "none/8890.sock")
    user.serve().close()
    with pytest.raises(UsageError, match="there is no server at"):
        server_at(user.run / "8890.sock")


@pytest.fixture
def known(user: User) -> Iterator[list[RunningServer]]:
    """Servers of two databases and three ports, in one folder."""
    user.serve().close()
    servers = [
        RunningServer(open_folder(user.run), str(port), record(user, port, database))
        for port, database in ((8890, "v"), (9000, "v"), (9001, "w"))
    ]
    yield servers
    for server in servers:
        server.close()


def record(user: User, port: int, database: str) -> Record:
    return record_of(
        user.config(database), f"http://127.0.0.1:{port}", port, f"/srv/{database}.toml" * (database == "w")
    )


NOTHING, VARIABLES, FILE = Said(), Said(by_variables=True), Said("/srv/v.toml")


@pytest.mark.parametrize("said", [NOTHING, VARIABLES, FILE])
def test_the_server_of_the_configuration_is_meant(user: User, known: list[RunningServer], said: Said) -> None:
    assert choose(user.config(), known, said) is known[0]
    assert choose(user.config(**{"server.port": 9000}), known, said) is known[1]
    assert choose(user.config("w"), known, said) is known[2]  # whatever its port


def test_a_server_with_the_same_file_is_meant_too_unless_variables_say_more(
    user: User, known: list[RunningServer]
) -> None:
    assert choose(user.config("x"), known, Said("/srv/w.toml")) is known[2]
    assert choose(user.config("x"), known, Said("/srv/w.toml", by_variables=True)) is None


def test_another_server_is_meant_only_where_nothing_is_said_and_it_is_the_only_one(
    user: User, known: list[RunningServer]
) -> None:
    assert choose(user.config("x"), known[:1], NOTHING) is known[0]
    assert choose(user.config("x"), known[:1], VARIABLES) is None
    assert choose(user.config("x"), known[:1], FILE) is None
    assert choose(user.config("x"), [], NOTHING) is None
    with pytest.raises(UsageError, match=r"(?s)several.*--url unix:.*8890\.sock.*--url unix:.*9001\.sock"):
        choose(user.config("x"), known, NOTHING)


def test_a_server_of_another_home_is_not_meant_where_this_one_has_had_its_own(
    user: User, known: list[RunningServer]
) -> None:
    assert what_is_said(None, user.environ).home == user.run
    assert choose(user.config("x"), known[:1], Said(home=user.run)) is known[0]
    assert choose(user.config("x"), known[:1], Said(home=user.home / "other")) is None


def test_two_at_once_of_one_database_are_asked_about(user: User, known: list[RunningServer]) -> None:
    with pytest.raises(UsageError, match="several servers"):
        choose(user.config(**{"server.port": 1}), known, VARIABLES)


def test_a_file_or_a_variable_says_which_server_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = {"HOME": str(tmp_path)}
    assert what_is_said(None, {**home, "VIRTUMANCER_TOKEN": "vmt_1", "VIRTUMANCER_LOG_LEVEL": "info"}) == NOTHING
    assert what_is_said(None, {**home, "VIRTUMANCER_SERVER_PORT": "1"}) == VARIABLES
    assert what_is_said(None, {**home, "VIRTUMANCER_DATABASE_URL": "sqlite:///v.db"}) == VARIABLES
    assert what_is_said(Path("v.toml"), home) == Said(str(tmp_path / "v.toml"))
    (tmp_path / "virtumancer.toml").touch()
    assert what_is_said(None, home) == Said(str(tmp_path / "virtumancer.toml"))
