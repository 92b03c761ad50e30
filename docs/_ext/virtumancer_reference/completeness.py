"""Holds the built reference against the code: every public name, and every member of it, stands on a page."""

import inspect
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from virtumancer_reference.public_names import PACKAGES, members, public_names

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

__all__ = ["check", "missing"]

# These are described by a generated part each, which tests hold against the code.
ELSEWHERE = ("virtumancer.testing.suites.", "virtumancer.hookspecs.virtumancer_")


def check(_app: "Sphinx", env: "BuildEnvironment") -> None:
    """Warn of what is missing; every warning is an error when the pages are built for others."""
    from sphinx.util import logging  # noqa: PLC0415 - so that tests need no Sphinx

    log = logging.getLogger(__name__)
    for sentence in missing(env.get_domain("py").data["objects"]):
        log.warning(sentence)


def missing(described: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each public name, and each member of one, that is not among these objects."""
    for package in PACKAGES:
        for name, thing in public_names(package):
            if f"{package}.{name}".startswith(ELSEWHERE):
                continue
            places = [place for place in _places(package, name, thing) if place in described]
            if not places:
                where = _home(thing) or package
                yield f"{package}.{name} is public and on no page: add `.. automodule:: {where}` in docs/reference"
                continue
            for member in members(thing):
                if not any(f"{place}.{member}" in described for place in places):
                    yield f"{package}.{name}.{member} is public and not on the page of {places[0]}: add `:members:`"


def _places(package: str, name: str, thing: Any) -> Iterator[str]:
    """Yield what it may be called on a page: as it is imported, or as where it was made has it."""
    yield f"{package}.{name}"
    # What is no class or function does not know where it was made.
    homes = [_home(thing)] if _home(thing) else [m for m in sys.modules if m.startswith(f"{package}.")]
    yield from (f"{home}.{name}" for home in homes)


def _home(thing: Any) -> str | None:
    return str(thing.__module__) if inspect.isclass(thing) or inspect.isfunction(thing) else None
