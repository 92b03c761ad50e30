"""How a build of somebody else's calls itself."""

from pathlib import Path

import pytest

import virtumancer
from virtumancer.contracts.responses import Build
from virtumancer.errors import ConfigError
from virtumancer.own_build import own_build, read_build, version_text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "build.toml"


def test_the_projects_own_build_has_no_name() -> None:
    assert own_build() is None
    assert version_text() == virtumancer.__version__


def test_a_build_with_a_name_says_it_behind_the_version(file: Path) -> None:
    file.write_text('name = "Acme Virtumancer"\nversion = "2026.1"\n')

    build = read_build(file)

    assert build == Build("Acme Virtumancer", "2026.1")
    assert version_text(lambda: build) == f"{virtumancer.__version__} (Acme Virtumancer 2026.1)"


@pytest.mark.parametrize(
    "content",
    [b"", b'name = "Acme"\n', b'name = "a\\nb"\nversion = "1"\n', b'name = ""\nversion = "1"\n', b"\xff", b"x = 1\n"],
)
def test_a_file_that_names_no_build_is_named_with_the_cure(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"build\.toml does not name a build: .*it has two lines"):
        read_build(file)
