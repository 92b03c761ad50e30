"""The recipes for packagers and the tutorials for authors work as they stand on their pages."""

import os
import tarfile
from pathlib import Path

import pytest

from tests.lab.processes import free_port
from tests.packaging.recipe import run_page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.timeout(600)
def test_the_recipes_for_packagers_work(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()

    run_page((DOCS / "how-to/packaging.md").read_text(encoding="utf-8"), source, tmp_path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tutorial", ["write-an-action", "write-a-driver"])
def test_a_tutorial_works(tutorial: str, wheel: Path, tmp_path: Path) -> None:
    page = (DOCS / f"tutorial/{tutorial}.md").read_text(encoding="utf-8")
    port = str(free_port())
    links = f"{wheel.parent} {os.environ.get('PIP_FIND_LINKS', '')}"

    run_page(page.replace("8890", port), tmp_path, tmp_path, PIP_FIND_LINKS=links, VIRTUMANCER_SERVER_PORT=port)
