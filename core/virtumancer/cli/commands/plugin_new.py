"""`virtumancer plugin new`: a package to begin with."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from virtumancer.cli.output import say
from virtumancer.scaffold import KINDS, Kind, write_package

__all__ = ["HELP", "new"]

HELP = "\n".join(
    [
        "Write a package for a new plugin: it works, its tests pass, and linters and type checkers are content.",
        "",
        "The kinds are:",
        "",
        *(f"- {kind}: {sentence}" for kind, sentence in KINDS.items()),
        "",
        "A plugin may add things of several kinds: copy what you need from one package into another.",
    ]
)


def new(
    name: Annotated[str, Parameter(help="Name of the plugin: lower-case letters, digits and hyphens.")],
    /,
    *,
    kind: Annotated[Kind, Parameter(help="What it adds.")],
    folder: Annotated[Path, Parameter(help="Where the package's folder is made.")] = Path(),
) -> None:
    """Write a package for a new plugin: it works, and its tests pass."""
    # Not before: `--help` should not wait for it.
    from virtumancer.plugins.loading.discovery import built_in_names  # noqa: PLC0415

    package = write_package(name, kind, folder, taken=built_in_names(), reserved=_reserved(kind))
    files = sorted(path.relative_to(folder) for path in package.rglob("*") if path.is_file())
    steps = [f"  cd {package}", "  pip install -e '.[test]'", "  pytest", f"  virtumancer dev {name}"]
    say("\n".join([f"Wrote {package}:", *(f"  {path}" for path in files), "Try it:", *steps]))


def _reserved(kind: Kind) -> Collection[str]:
    """Return the names that stand for something else where a thing of this kind is mounted."""
    from virtumancer.http.routes import reserved_names  # noqa: PLC0415 - as above
    from virtumancer.plugins.loading.action_validation import BELOW_HOSTS  # noqa: PLC0415
    from virtumancer.plugins.loading.validation import FOR_CONSOLES  # noqa: PLC0415

    if kind in {"action", "console"}:
        return reserved_names() | FOR_CONSOLES
    if kind == "host-action":
        return BELOW_HOSTS
    return reserved_names().at_root if kind == "resource" else ()
