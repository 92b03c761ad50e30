"""The pages of the documentation, and what is quoted in them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_BLOCK = re.compile(r"^```(?P<language>[\w{}-]*)\n(?P<code>.*?)^```$", re.M | re.S)


def page(name: str) -> str:
    """Return the source of one page, as in `reference/http-api`."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def pages() -> dict[str, str]:
    """Return all pages and the README by their place in the repository."""
    files = [ROOT / "README.md", *(file for file in sorted(DOCS.rglob("*.md")) if "_build" not in file.parts)]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def blocks(text: str, language: str) -> Iterator[str]:
    """Yield the code blocks of this language."""
    for block in _BLOCK.finditer(text):
        if block["language"] == language:
            yield block["code"]
