"""The tutorials for authors work as they stand on their pages."""

import os
from pathlib import Path

import pytest

from tests.lab.processes import free_port
from tests.packaging.guides.recipe import DOCS, run_page


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tutorial", ["write-an-action", "write-a-driver"])
def test_a_tutorial_works(tutorial: str, wheel: Path, tmp_path: Path) -> None:
    page = (DOCS / f"tutorial/{tutorial}.md").read_text(encoding="utf-8")
    port = str(free_port())
    links = f"{wheel.parent} {os.environ.get('PIP_FIND_LINKS', '')}"

    run_page(page.replace("8890", port), tmp_path, tmp_path, PIP_FIND_LINKS=links, VIRTUMANCER_SERVER_PORT=port)
