"""What each version of the contracts added: the frozen record of the versions before this one, and the code."""

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from virtumancer.contracts import VERSION
from virtumancer_reference.hooks import specifications
from virtumancer_reference.public_names import members, public_names

__all__ = ["added", "contract_versions", "present"]

# By version, what it added: names with their members or arguments. A line is never taken out: it is a promise.
RECORD = Path(__file__).with_name("contract_versions.json")
PACKAGES = ("virtumancer.contracts", "virtumancer.errors", "virtumancer.streams")
HEADINGS = ("Hooks", "virtumancer.contracts", "virtumancer.errors", "virtumancer.streams")

Names = Mapping[str, tuple[str, ...]]


def present() -> dict[str, tuple[str, ...]]:
    """Return what there is now: each public name with its members, each hook with its arguments."""
    found = {hook.__name__: tuple(inspect.signature(hook).parameters) for hook in specifications()}
    for package in PACKAGES:
        found |= {name: tuple(members(thing)) for name, thing in public_names(package)}
    return found


def added() -> dict[str, Names]:
    """Return by version what it added, oldest first; the last one is what no version before it had."""
    record: dict[str, Names] = json.loads(RECORD.read_text(encoding="utf-8"))
    before: dict[str, set[str]] = {}
    for names in record.values():
        for name, its in names.items():
            before.setdefault(name, set()).update(its)
    new = {
        name: tuple(member for member in its if member not in before.get(name, ())) for name, its in present().items()
    }
    return {**record, VERSION: {name: its for name, its in new.items() if its or name not in before}}


def contract_versions() -> str:
    """Write a section for each version, newest first."""
    versions = added()
    seen: set[str] = set()
    sections: list[str] = []
    for version, names in versions.items():
        sections.append("\n\n".join([f"## What {version} added", *_parts(names, seen)]))
        seen.update(names)
    return "\n\n".join(reversed(sections))


def _parts(names: Names, seen: set[str]) -> Iterator[str]:
    for heading in HEADINGS:
        new = sorted(name for name in names if name not in seen and _place(name) == heading)
        if new:
            shown = f"`{heading}`" if "." in heading else heading
            yield f"{shown}: {', '.join(f'`{name}`' for name in new)}."
    grown = [(name, its) for name, its in sorted(names.items()) if name in seen]
    if grown:
        lines = [f"- `{name}`: {', '.join(f'`{member}`' for member in its)}" for name, its in grown]
        yield "In what there was:\n\n" + "\n".join(lines)


def _place(name: str) -> str:
    if name.startswith("virtumancer_"):
        return HEADINGS[0]
    return next(package for package in PACKAGES if name in dict(public_names(package)))
