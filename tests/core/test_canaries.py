"""The search for secrets finds what it is for: a check that cannot fail would be worse than none."""

import os
import secrets
from pathlib import Path

import pytest

from tests.canaries import Canaries, Leak
from tests.forks import Forks

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("around", ["{}", "token={}&x=1", '{{"a":"{}"}}', "vmt_00000000_{}", "x{}y", "\x00{}\xff"])
def test_an_issued_secret_is_found_whatever_stands_around_it(around: str) -> None:
    canaries, secret = Canaries(), secrets.token_urlsafe(32)
    canaries.learn("token", f"Bearer vmt_00000000_{secret}")

    assert canaries.found_in(around.format(secret)) == ["token"]
    assert canaries.found_in(around.format(secret).encode("latin-1")) == ["token"]
    assert canaries.found_in(around.format(secrets.token_urlsafe(32))) == []


def test_planted_secrets_are_found_by_their_kind() -> None:
    canaries = Canaries()
    text = f"x{canaries.plant('password')}x {canaries.plant_short('vnc')}"

    assert canaries.found_in(text) == ["password", "vnc"]


def test_bytes_in_a_dump_of_postgresql_are_looked_into() -> None:
    canaries = Canaries()
    digits = f"1\t\\\\x{canaries.plant('password').encode().hex()}\n"

    with pytest.raises(Leak, match="password"):
        canaries.check_dump(digits, "PostgreSQL")


def test_databases_and_logs_below_a_folder_are_searched(tmp_path: Path) -> None:
    canaries = Canaries()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "v.db-wal").write_bytes(b"\x00" * 5000 + canaries.plant("password").encode())

    with pytest.raises(Leak, match=r"v\.db-wal holds a secret in clear: password"):
        canaries.check_files(tmp_path)


def test_a_test_that_prints_a_secret_fails_although_it_passes(tmp_path: Path, forks: Forks) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(
        "from tests.canaries import CANARIES\n"
        "def test_it():\n    print(CANARIES.plant('password'))\n"
        "def test_other():\n    print('nothing')\n"
    )
    flags = ("-q", "-p", "tests.canary_watch", "-c", "/dev/null")
    run = forks.run("pytest", *flags, str(test), folder=ROOT, environment=os.environ)

    assert "holds a secret in clear: password" in run.stdout
    assert run.returncode == 1, run.stdout
