"""The pages of this server itself: the one on which a browser signs in, and the one that shows the API."""

from collections.abc import Iterator
from pathlib import Path

from virtumancer.contracts import StaticFiles
from virtumancer.http.api_paths import API, ROOT
from virtumancer.http.endpoint import PUBLIC
from virtumancer.http.resources.static_files import FolderResource

__all__ = ["own_pages"]

FOLDER = Path(__file__).parents[1] / "pages"
# What they show they fetch, as whoever has signed in.
PAGES = {"sign-in": ROOT / "sign-in", "api": API / "docs"}


def own_pages() -> Iterator[object]:
    """Yield the resource of each page; everybody may see them."""
    for name, path in PAGES.items():
        yield FolderResource(path, StaticFiles(path=name, directory=FOLDER / name), PUBLIC)
