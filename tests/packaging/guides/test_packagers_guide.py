"""The recipes for packagers work as they stand on their page."""

import tarfile
from pathlib import Path

import pytest

from tests.packaging.guides.recipe import DOCS, run_page


@pytest.mark.timeout(600)
def test_the_recipes_for_packagers_work(sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()

    run_page((DOCS / "how-to/packaging.md").read_text(encoding="utf-8"), source, tmp_path)
