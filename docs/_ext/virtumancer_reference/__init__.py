"""Writes the parts of the reference that are facts of the code, while Sphinx builds; nothing written is kept."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from virtumancer_reference.close_codes import close_codes
from virtumancer_reference.command_line import command_line
from virtumancer_reference.completeness import check
from virtumancer_reference.configuration import configuration
from virtumancer_reference.contract_versions import contract_versions
from virtumancer_reference.error_codes import error_codes, start_up_errors
from virtumancer_reference.hooks import hooks
from virtumancer_reference.objects import objects
from virtumancer_reference.suites import suite_reference
from virtumancer_reference.support_matrix import support_matrix

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

__all__ = ["PARTS", "marker", "setup"]

PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "close-codes": ("reference/consoles", close_codes),
    "command-line": ("reference/command-line", command_line),
    "configuration": ("reference/configuration", configuration),
    "contract-versions": ("reference/contract-versions", contract_versions),
    "error-codes": ("reference/error-codes", error_codes),
    "hooks": ("reference/hooks", hooks),
    "start-up-errors": ("reference/error-codes", start_up_errors),
    "objects": ("reference/http-api", objects),
    "suites": ("reference/test-kit", suite_reference),
    "support-matrix": ("reference/support-matrix", support_matrix),
}
"""Each part by name: the page that it belongs to, and the function that writes it as Markdown."""


def marker(part: str) -> str:
    """Return the line of a page in whose place a part goes."""
    return f"<!-- generated: {part} -->"


def setup(app: "Sphinx") -> dict[str, Any]:
    """Hook into the build."""
    app.connect("source-read", _fill_in)
    app.connect("env-get-outdated", _always_outdated)
    app.connect("env-check-consistency", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _fill_in(_app: "Sphinx", page: str, source: list[str]) -> None:
    for name, (owner, write) in PARTS.items():
        if page != owner:
            continue
        if marker(name) not in source[0]:
            raise ValueError(f"the page {page} has no line {marker(name)!r}, so its generated part has no place")
        source[0] = source[0].replace(marker(name), write())


def _always_outdated(
    _app: "Sphinx", _env: "BuildEnvironment", _added: set[str], _changed: set[str], _removed: set[str]
) -> list[str]:
    """Have these pages read anew in each build: the code may have changed while the page did not."""
    return sorted({page for page, _ in PARTS.values()})
