"""`virtumancer plugin new`: a package to begin with."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from virtumancer.cli.output import say
from virtumancer.scaffold import Kind, write_package

__all__ = ["new"]


def new(
    name: Annotated[str, Parameter(help="Name of the plugin: lower-case letters, digits and hyphens.")],
    /,
    *,
    kind: Annotated[Kind, Parameter(help="What it adds: action, collector, console, driver or resource.")],
    folder: Annotated[Path, Parameter(help="Where the package's folder is made.")] = Path(),
) -> None:
    """Write a package for a new plugin: it works, and its tests pass."""
    # Not before: `--help` should not wait for it.
    from virtumancer.http.routes import reserved_names  # noqa: PLC0415
    from virtumancer.plugins.loading.discovery import built_in_names  # noqa: PLC0415
    from virtumancer.plugins.loading.validation import FOR_CONSOLES  # noqa: PLC0415

    reserved = reserved_names() | FOR_CONSOLES if kind in {"action", "console"} else ()
    if kind == "resource":
        reserved = reserved_names().at_root
    package = write_package(name, kind, folder, taken=built_in_names(), reserved=reserved)
    files = sorted(path.relative_to(folder) for path in package.rglob("*") if path.is_file())
    steps = [f"  cd {package}", "  pip install -e '.[test]'", "  pytest", "  virtumancer plugins"]
    say("\n".join([f"Wrote {package}:", *(f"  {path}" for path in files), "Try it:", *steps]))
