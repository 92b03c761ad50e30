"""What authors import stands on the pages, and what a version of the contracts had stays there."""

import json

import pytest
from virtumancer_reference.completeness import missing
from virtumancer_reference.contract_versions import RECORD, added, contract_versions, present
from virtumancer_reference.hooks import specifications
from virtumancer_reference.public_names import PACKAGES, members, public_names
from virtumancer_reference.suites import fixtures_of, settings_of, suite_reference

from tests.docs.pages import ROOT, page
from virtumancer import contracts
from virtumancer.contracts import VERSION
from virtumancer.testing import suites

EVERYTHING = {
    name
    for package in PACKAGES
    for short, thing in public_names(package)
    for name in (f"{package}.{short}", *(f"{package}.{short}.{member}" for member in members(thing)))
}
"""As the pages of a build describe it; the build itself asks `missing` of what it has, and ends with an error."""


@pytest.mark.parametrize(
    ("forgotten", "said"),
    [
        ("virtumancer.contracts.VMAction", "virtumancer.contracts.VMAction is public and on no page"),
        ("virtumancer.contracts.VMState.RUNNING", "virtumancer.contracts.VMState.RUNNING is public and not on"),
        ("virtumancer.contracts.StatsCollector.name", "virtumancer.contracts.StatsCollector.name is public"),
        ("virtumancer.contracts.ConsoleTransport.kind", "virtumancer.contracts.ConsoleTransport.kind is"),
        ("virtumancer.errors.VMNotFound", "virtumancer.errors.VMNotFound is public and on no page"),
        ("virtumancer.client.Client.of", "virtumancer.client.Client.of is public and not on the page"),
        ("virtumancer.testing.Faults.hang", "virtumancer.testing.Faults.hang is public and not on the page"),
        ("virtumancer.contracts.HOSTS", "virtumancer.contracts.HOSTS is public and on no page"),
    ],
)
def test_what_is_forgotten_on_the_pages_is_named(forgotten: str, said: str) -> None:
    (sentence,) = missing(EVERYTHING - {forgotten})

    assert sentence.startswith(said)


def test_all_that_is_described_is_enough() -> None:
    assert not list(missing(EVERYTHING))


def test_the_build_fails_on_what_is_missing() -> None:
    assert "sphinx-build --quiet --fail-on-warning" in (ROOT / "tox.ini").read_text(encoding="utf-8")


def test_every_fixture_and_setting_of_a_suite_is_in_the_reference() -> None:
    text = suite_reference()

    for name in suites.__all__:
        _, _, section = text.partition(f"### `{name}`")
        suite = getattr(suites, name)
        for shown in (*fixtures_of(suite), *settings_of(suite)):
            assert f"\n| `{shown}` |" in section.partition("\n### ")[0]


def test_the_optional_fixtures_of_a_driver_are_among_them() -> None:
    wanted = {"change_outside", "break_host", "hang_host", "vm_memory", "console_dialogues"}

    assert wanted <= fixtures_of(suites.HostDriverSuite).keys()


def test_what_a_version_of_the_contracts_had_is_there() -> None:
    now = present()

    gone = [
        f"{name}.{member}" if member else name
        for names in json.loads(RECORD.read_text(encoding="utf-8")).values()
        for name, its in names.items()
        for member in ("", *its)
        if name not in now or (member and member not in now[name])
    ]

    assert not gone


def test_every_public_name_is_in_the_list_of_one_version() -> None:
    text = contract_versions()

    assert all(f"`{name}`" in text for name in present())
    assert set(contracts.__all__) <= {name for names in added().values() for name in names}


def test_the_version_that_hooks_say_is_that_of_the_list() -> None:
    for hook in specifications():
        [since] = [line for line in (hook.__doc__ or "").splitlines() if line.strip().startswith("Since ")]
        [first] = [version for version, names in added().items() if hook.__name__ in names][:1]
        assert since.split()[1].rstrip(".;") == first


def test_the_page_says_of_every_version_what_is_promised() -> None:
    promised = page("reference/contract-versions").partition("## What is promised")[2]

    assert all(version in promised for version in added())
    assert list(added())[-1] == VERSION
