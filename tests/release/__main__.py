"""Runs the parts of the check before a release that were named, or all."""

import argparse
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.figures import as_table
from tests.release import debian, year
from tests.release.parts import exit_status, run_parts, table

ROOT = Path(__file__).parents[2]
WHAT = f"""\
parts:
  debian    the tests in another Debian, made with debootstrap, on its Python and its libvirt (as root; an hour)
  packages  source distribution and wheel, an install in an empty environment, the recipes for packagers (minutes)
  year      start, lists, retention and size of a database with a year of events, audit records and operations

exit status: 0 all passed, 1 something failed, 3 nothing failed and something could not be run: the table says why.
{debian.NEEDS}
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/release-check",
        description="What is checked before a release, and by whoever touches what it covers.",
        epilog=WHAT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="*", choices=["debian", "packages", "year", []], help="all when none is named")
    parser.add_argument("--codename", default=debian.other_codename(), help="of the Debian to make (%(default)s)")
    parser.add_argument("--mirror", default="", help="where debootstrap fetches it (its default)")
    parser.add_argument("--folder", type=Path, help="make it there, keep it, and use it again (a temporary folder)")
    parser.add_argument("--tests", default="", help="arguments of pytest, for some tests only in the other Debian")
    parser.add_argument("--days", type=int, default=365, help="of data in the part `year` (%(default)s)")
    given = parser.parse_args()
    second = debian.SecondDebian(given.codename, given.mirror, given.folder, given.tests)
    parts = {"debian": second.check, "packages": packages, "year": functools.partial(a_year, given.days)}
    outcomes = run_parts(parts, given.part or parts)
    print(f"\n{table(outcomes)}")
    return exit_status(outcomes)


def packages() -> bool:
    """Run the tests of the packages, which build them and install them."""
    command = [sys.executable, "-m", "pytest", "-rfER", "-q", "tests/packaging"]
    return subprocess.run(command, cwd=ROOT, timeout=3600, check=False).returncode == 0


def a_year(days: int) -> bool:
    """Measure a server on so many days of data."""
    with tempfile.TemporaryDirectory(prefix="vy") as folder:
        figures = list(year.measure(Path(folder), days))
    print(as_table(figures))
    return all(figure.held for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
