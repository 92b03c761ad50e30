"""What is in the distributions that users and packagers get."""

import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
PACKAGES = {"virtumancer", *(file.parent.name for file in PLUGINS.glob("*/__init__.py"))}


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def test_the_wheel_holds_only_our_packages(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    packages = {top for top in tops if not top.endswith(".dist-info")}
    assert packages == PACKAGES


def test_the_wheel_says_that_its_packages_are_typed(names: set[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_the_wheel_holds_the_migrations(names: set[str]) -> None:
    assert any(name.startswith("virtumancer/store/migrations/0001") for name in names)


def test_the_wheel_holds_the_licence(wheel: Path) -> None:
    assert "Apache License" in metadata(wheel, "licenses/LICENSE")
    assert Parser().parsestr(metadata(wheel, "METADATA"))["License-Expression"] == "Apache-2.0"


def test_the_wheel_has_the_program_and_the_built_in_plugins(wheel: Path) -> None:
    entry_points = metadata(wheel, "entry_points.txt")
    for line in ("virtumancer = virtumancer.cli:main", "libvirt = virtumancer_libvirt", "power = virtumancer_power"):
        assert line in entry_points.splitlines()


def test_the_bare_core_requires_no_compiler_and_no_libvirt(wheel: Path) -> None:
    required = Parser().parsestr(metadata(wheel, "METADATA")).get_all("Requires-Dist", [])
    always = [line for line in required if "extra ==" not in line]
    assert always
    assert not [line for line in always if line.startswith(("libvirt-python", "asyncssh", "lxml", "asyncpg"))]


def test_the_source_distribution_holds_what_packagers_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "pyproject.toml",
        "tox.ini",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "scripts/test",
        "core/virtumancer/cli/__init__.py",
        "plugins/virtumancer_power/__init__.py",
        "tests/packaging/conftest.py",
        "examples/demo/demo-node.xml",
    }
    assert wanted <= names


def test_the_source_distribution_holds_nothing_that_was_generated(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert not [name for name in names if "__pycache__" in name or "/var/" in name or "/_build" in name]
