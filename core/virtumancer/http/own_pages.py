"""The pages of this server itself: the one on which a browser signs in, and the one that shows the API."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from virtumancer.contracts import StaticFiles
from virtumancer.http.endpoint import PUBLIC
from virtumancer.http.plugin_files import FolderResource

__all__ = ["own_pages"]

FOLDER = Path(__file__).with_name("pages")
# What they show they fetch, as whoever has signed in.
PAGES = {"/sign-in": "sign-in", "/api/v1/docs": "api"}


class PublicFolder(FolderResource):
    """Files that everybody may see."""

    def right_for(self, _method: str, _params: Mapping[str, str]) -> str:
        """Ask for no right."""
        return PUBLIC


def own_pages() -> Iterator[tuple[str, object]]:
    """Yield each path, and the resource behind it."""
    for path, name in PAGES.items():
        folder = PublicFolder(StaticFiles(path=name, directory=FOLDER / name))
        yield path, folder
        yield f"{path}/", folder
        yield f"{path}/{{rest:path}}", folder
