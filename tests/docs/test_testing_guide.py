"""What the guide about tests shows works, and the support matrix is complete."""

from pathlib import Path

from virtumancer_reference import PARTS
from virtumancer_reference.support_matrix import BUILT_IN, CONNECTIONS, SUITES

from tests.docs.pages import ROOT, blocks, page
from tests.forks import Forks
from virtumancer.plugins import load_plugins
from virtumancer.testing import suites


def test_the_tests_of_the_guide_pass(tmp_path: Path, forks: Forks) -> None:
    (tmp_path / "virtumancer_power_cycle.py").write_text(next(blocks(page("how-to/write-a-plugin"), "python")))
    for number, code in enumerate(blocks(page("how-to/test-a-plugin"), "python")):
        # The last one uses what the one before it imports and says.
        before = "from test_guide_1 import virtumancer_plugins\n\n\n" if number == 2 else ""
        (tmp_path / f"test_guide_{number}.py").write_text(before + code)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )

    environment = {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
    done = forks.run("pytest", "-q", "-p", "no:cacheprovider", folder=tmp_path, environment=environment)

    assert done.returncode == 0, done.stdout
    assert "14 passed" in done.stdout


def test_the_support_matrix_has_every_built_in_thing() -> None:
    text = PARTS["support-matrix"][1]()

    for info in load_plugins().infos:
        for kind in SUITES:
            assert info.distribution != BUILT_IN or all(name in text for name in getattr(info, kind))
        assert info.distribution != BUILT_IN or not info.drivers or info.name in CONNECTIONS


def test_every_suite_is_in_the_reference_and_held_by_something_of_ours() -> None:
    reference = PARTS["suites"][1]()
    ours = "".join(file.read_text() for file in (ROOT / "tests/contract").glob("*.py"))

    assert {f"`{name}`" for name in suites.__all__} == set(SUITES.values())
    assert all(f"virtumancer.testing.suites.{name}" in reference and f"({name})" in ours for name in suites.__all__)
