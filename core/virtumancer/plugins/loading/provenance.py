"""Where the code of an installed plugin lies and what it is: read from the disk, never imported."""

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from importlib import machinery, metadata
from importlib.util import find_spec
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from virtumancer.plugins.loading.distributions import Distributions

__all__ = ["Code", "Fingerprints", "added", "altered", "brought", "code_of", "places"]

COMPILED = {".pyc", ".pyo"}
MODULES = (*machinery.SOURCE_SUFFIXES, *machinery.EXTENSION_SUFFIXES)
NOTES = (".dist-info", ".egg-info")
"""What an installer writes about a distribution differs from one environment to the next."""


class _Folder(Struct, frozen=True):
    editable: bool = False


class _Origin(Struct, frozen=True):
    """The part of `direct_url.json` that says where an editable install was made from."""

    url: str = ""
    dir_info: _Folder = _Folder()


class Code(Struct, frozen=True):
    """Where the package of an entry point is: as its distribution says, and as Python would import it."""

    own: tuple[Path, ...]
    """Empty when the distribution does not say or has none: a packager may ship a package of its own for the entry."""
    found: tuple[Path, ...]

    @property
    def shadowed(self) -> bool:
        """Whether something else would be imported than what the distribution brought."""
        return bool(self.own and self.found) and not set(self.own) & set(self.found)


def code_of(entry: metadata.EntryPoint, installed: Distributions) -> Code:
    """Look for the package of an entry point."""
    top = _top(entry)
    return Code(tuple(places(entry.dist, top, installed)) if entry.dist else (), _found(top))


def places(distribution: metadata.Distribution, top: str, installed: Distributions) -> list[Path]:
    """Return where a distribution has a top-level package or module."""
    root = _path(distribution, "")
    listed = installed.files(distribution)
    if listed is None:  # distributors leave the list of files out
        return _below(root, top)
    found = _below(root, top) if any(_is_of(file, top) for file in listed) else []
    for file in listed:
        if len(file.parts) == 1 and file.suffix == ".pth":
            found += [place for folder in _folders(root / file) for place in _below(folder, top)]
    return found or _within_project(distribution, top)


def altered(entry: metadata.EntryPoint, installed: Distributions) -> str:
    """Name the first file of the entry point's package that is not what its distribution brought; empty for none.

    An installer overwrites the files of one distribution with those of another without a word.
    """
    top = _top(entry)
    for file in installed.files(entry.dist) or ():
        if _is_of(file, top) and file.hash and file.hash.mode == "sha256":
            path = Path(str(file.locate()))
            content = path.read_bytes() if path.is_file() else b""
            if base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode() != file.hash.value:
                return str(file)
    return ""


def added(entry: metadata.EntryPoint, installed: Distributions) -> str:
    """Name a module in the entry point's package that its distribution did not bring; empty for none.

    Python takes an extension module, or a package, before the module of the same name that lies beside it.
    """
    top = _top(entry)
    brought = {Path(str(file.locate())).resolve() for file in installed.files(entry.dist) or () if _is_of(file, top)}
    if not brought:  # it is developed elsewhere, or its list of files was left out
        return ""
    for place in _found(top):
        if place.is_dir() and not [*place.glob("__init__.*")]:
            continue  # a namespace is shared with others
        for path in _walk(place) if place.is_dir() else (place,):
            if path.name.endswith(MODULES) and path.resolve() not in brought:
                return str(path)
    return ""


def brought(entry: metadata.EntryPoint, installed: Distributions) -> bool | None:
    """Say whether the distribution of an entry point brought its package; None when it does not say what it brought."""
    files = installed.files(entry.dist)
    return None if files is None else any(_is_of(file, _top(entry)) for file in files)


class Fingerprints:
    """Hashes of what distributions brought; each file is read once."""

    def __init__(self, installed: Distributions) -> None:
        self._installed = installed
        self._sums: dict[Path, str] = {}

    def of(self, entry: metadata.EntryPoint | None) -> str:
        """Return one hash of all files of the distribution and of the package that would be imported."""
        if entry is None:
            return ""
        digest = hashlib.sha256()
        for name, path in sorted(_files(entry, self._installed).items()):
            digest.update(f"{name}\0{self._sum(path)}\n".encode())
        return f"sha256:{digest.hexdigest()}"

    def _sum(self, path: Path) -> str:
        if path not in self._sums:
            self._sums[path] = "no file"
            if path.is_file():  # a device or a pipe may have no end
                with path.open("rb") as file:
                    self._sums[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._sums[path]


def _files(entry: metadata.EntryPoint, installed: Distributions) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in installed.files(entry.dist) or ():
        within = ".." not in file.parts and not file.is_absolute()
        if within and not file.parts[0].endswith(NOTES) and file.suffix not in COMPILED:
            files[file.as_posix()] = Path(str(file.locate()))
    for place in _found(_top(entry)):
        if place.is_file():
            files[place.name] = place
        elif (place / "__init__.py").is_file() or not files:  # a namespace is shared with others
            files |= {f"{place.name}/{path.relative_to(place).as_posix()}": path for path in _walk(place)}
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            if PurePath(name).suffix not in COMPILED:
                yield Path(place, name)


def _found(top: str) -> tuple[Path, ...]:
    """Return what `import top` would take. Looking for a top-level name imports nothing."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return ()
    if spec is None:
        return ()
    if spec.submodule_search_locations is not None:
        return tuple(Path(place).resolve() for place in spec.submodule_search_locations)
    return (Path(spec.origin).resolve(),) if spec.has_location and spec.origin else ()


def _top(entry: metadata.EntryPoint) -> str:
    return re.sub(r"\W.*", "", entry.value, flags=re.DOTALL)


def _is_of(file: PurePath, top: str) -> bool:
    return file.parts[0].partition(".")[0] == top and file.suffix not in COMPILED


def _below(folder: Path, top: str) -> list[Path]:
    """Return the package or the module of this name in a folder."""
    package = folder / top
    if package.is_dir():
        return [package.resolve()]
    return [path.resolve() for path in (folder / f"{top}.py", *folder.glob(f"{top}.*.so")) if path.is_file()]


def _folders(pth: Path) -> list[Path]:
    """Return the folders that a .pth file puts on the path of Python."""
    try:
        lines = pth.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    return [pth.parent / line.strip() for line in lines if line.strip() and not line.startswith(("#", "import"))]


def _within_project(distribution: metadata.Distribution, top: str) -> list[Path]:
    """Return what is found within the project of an editable install whose finder is a program."""
    try:
        origin = msgspec.json.decode(distribution.read_text("direct_url.json") or "{}", type=_Origin)
    except (msgspec.DecodeError, ValueError):
        return []
    project = Path(unquote(urlsplit(origin.url).path)).resolve()
    return [place for place in _found(top) if origin.dir_info.editable and place.is_relative_to(project)]


def _path(distribution: metadata.Distribution, file: str) -> Path:
    return Path(str(distribution.locate_file(file))).resolve()
