"""A SQLite file that is damaged, removed or replaced while it is in use: nothing is written to where nobody reads."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.outsider import Outsider
from virtumancer.contracts import Host
from virtumancer.errors import StoreUnavailable
from virtumancer.store import Database, HostsRepository, ProcessesRepository, StoreProbe

HOST = Host("kvm1", "test:///default")
COPY = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "virtumancer.db"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    async with Database(f"sqlite://{file}") as database:
        yield database


@pytest.fixture
def probe(database: Database) -> StoreProbe:
    return StoreProbe(database, ProcessesRepository(database), "this one")


def away(file: Path) -> None:
    file.rename(file.with_suffix(".old"))


def back(file: Path) -> None:
    file.with_suffix(".old").rename(file)


def replace_by_copy(file: Path) -> None:
    copy = file.with_name("copy.db")
    subprocess.run([sys.executable, "-c", COPY, str(file), str(copy)], check=True, timeout=30)
    copy.replace(file)


def size(file: Path) -> int:
    return file.stat().st_size


async def refused(database: Database) -> str:
    with pytest.raises(StoreUnavailable) as refusal:
        await HostsRepository(database).add(HOST)
    return refusal.value.message


async def unwritable(probe: StoreProbe) -> str:
    with pytest.raises(StoreUnavailable) as refusal:
        await probe.ask(write=True)
    return refusal.value.message


def checkpoint(file: Path) -> None:
    """Have all that was written in the file itself; by a process of its own, as each of its descriptors takes locks."""
    with Outsider(file) as outsider:
        outsider.do("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def damaged(file: Path, damage: Callable[[int], None]) -> Iterator[None]:
    """Damage the file for a while, with nothing of it in the write-ahead log."""
    checkpoint(file)
    # Closing it earlier would take the locks away that SQLite has on it in this process.
    descriptor = os.open(file, os.O_RDWR)
    try:
        whole = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        damage(descriptor)
        yield
        os.pwrite(descriptor, whole, 0)
    finally:
        os.close(descriptor)


async def test_what_is_well_can_be_written_however_often_it_is_asked_and_does_not_grow(
    probe: StoreProbe, file: Path
) -> None:
    checkpoint(file)
    before = size(file)
    for _ in range(300):
        await probe.ask(write=True)
    checkpoint(file)
    assert size(file) == before


@pytest.mark.parametrize("remove", [Path.unlink, away])
async def test_nothing_is_written_to_a_file_that_was_removed(
    database: Database, probe: StoreProbe, file: Path, remove: Callable[[Path], None]
) -> None:
    remove(file)
    assert "virtumancer.db was removed while it was in use" in await refused(database)
    assert "was removed" in await unwritable(probe)
    with pytest.raises(FileNotFoundError):
        size(file)


async def test_nothing_is_written_to_a_file_that_was_replaced(
    database: Database, probe: StoreProbe, file: Path
) -> None:
    replace_by_copy(file)
    assert "virtumancer.db was replaced while it was in use" in await refused(database)
    assert "was replaced" in await unwritable(probe)
    assert await HostsRepository(database).list() == (), "reading goes on"


async def test_what_is_written_to_a_log_that_was_removed_is_refused(
    database: Database, probe: StoreProbe, file: Path
) -> None:
    file.with_name("virtumancer.db-wal").unlink()
    assert "virtumancer.db-wal was removed" in await refused(database)
    assert "virtumancer.db-wal was removed" in await unwritable(probe)


async def test_a_file_that_is_put_back_is_written_again(database: Database, probe: StoreProbe, file: Path) -> None:
    away(file)
    await refused(database)
    back(file)
    await HostsRepository(database).add(HOST)
    await probe.ask(write=True)


@pytest.mark.parametrize("size", [0, 50, 20_000])
async def test_a_file_that_was_cut_short_is_named(database: Database, probe: StoreProbe, file: Path, size: int) -> None:
    with damaged(file, lambda descriptor: os.ftruncate(descriptor, size)):
        assert str(file) in await refused(database)
        assert str(file) in await unwritable(probe)
    await probe.ask(write=True)


@pytest.mark.parametrize("start", [0, 4096])
async def test_a_file_that_was_overwritten_is_named(probe: StoreProbe, file: Path, start: int) -> None:
    with damaged(file, lambda descriptor: os.pwrite(descriptor, b"garbage " * 20_000, start)):
        assert str(file) in await unwritable(probe)


async def test_a_refused_write_leaves_the_file_to_others(database: Database, probe: StoreProbe, file: Path) -> None:
    away(file)
    await unwritable(probe)
    back(file)
    with Outsider(file) as outsider:
        outsider.lock()
