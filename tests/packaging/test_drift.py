"""Every place that lists the packages lists the same ones."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def plugins() -> set[str]:
    return {folder.name for folder in (ROOT / "plugins").iterdir() if (folder / "__init__.py").is_file()}


@pytest.fixture(scope="module")
def packages(plugins: set[str]) -> set[str]:
    return {"virtumancer", *plugins}


def test_a_plugins_folder_is_named_as_a_third_party_would_name_it(plugins: set[str]) -> None:
    assert all(re.fullmatch(r"virtumancer_[a-z]+", name) for name in plugins)


def test_the_wheel_holds_every_package(pyproject: dict[str, Any], plugins: set[str]) -> None:
    listed = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(listed) == ["core/virtumancer", *sorted(f"plugins/{name}" for name in plugins)]


def test_every_plugin_has_an_entry_point_of_its_short_name(pyproject: dict[str, Any], plugins: set[str]) -> None:
    assert pyproject["project"]["entry-points"]["virtumancer.plugins"] == {
        name.removeprefix("virtumancer_"): name for name in plugins
    }


def test_import_linter_looks_at_every_package(pyproject: dict[str, Any], packages: set[str]) -> None:
    assert set(pyproject["tool"]["importlinter"]["root_packages"]) == packages


def test_every_import_rule_about_plugins_names_all_of_them(pyproject: dict[str, Any], plugins: set[str]) -> None:
    for contract in pyproject["tool"]["importlinter"]["contracts"]:
        for key in ("source_modules", "forbidden_modules", "modules"):
            named = {module for module in contract.get(key, ()) if module.startswith("virtumancer_")}
            assert named in (set(), plugins), f"{contract['id']}: {key}"


def test_coverage_measures_every_package(pyproject: dict[str, Any], packages: set[str]) -> None:
    assert set(pyproject["tool"]["coverage"]["run"]["source_pkgs"]) == packages


def test_mypy_checks_every_package(pyproject: dict[str, Any], packages: set[str]) -> None:
    assert set(pyproject["tool"]["mypy"]["packages"]) == packages


def test_ruff_sorts_every_package_as_our_own(pyproject: dict[str, Any], packages: set[str]) -> None:
    assert set(pyproject["tool"]["ruff"]["lint"]["isort"]["known-first-party"]) == packages


def test_every_package_says_that_it_is_typed(packages: set[str]) -> None:
    folders = {folder.name: folder for source in ("core", "plugins") for folder in (ROOT / source).iterdir()}
    assert all((folders[name] / "py.typed").is_file() for name in packages)


def test_one_module_imports_libvirt_by_whatever_way(packages: set[str]) -> None:
    # The import linter does not see import_module().
    way = re.compile(r"^\s*(import libvirt\b(?!_)|from libvirt(mod|aio)? )|import_module\(\"libvirt", re.M)
    files = [*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    found = [file for file in files if way.search(file.read_text())]
    assert [str(file.relative_to(ROOT)) for file in found] == ["plugins/virtumancer_libvirt/binding/api.py"]
