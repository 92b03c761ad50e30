"""What people write down about hosts and VMs: the options that change it, and how it is shown."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from msgspec import Struct

from virtumancer.cli.tables import say_fields, say_json, time_of
from virtumancer.contracts import Metadata

__all__ = ["NoTags", "Notes", "Tags", "Title", "Wanted", "say_metadata"]

Title = Annotated[str | None, Parameter(help="A title, of one line.")]
Notes = Annotated[str | None, Parameter(help="Notes, of any number of lines.")]
Tags = Annotated[
    tuple[str, ...],
    Parameter(name="--tag", help="A tag; several times, for all it has from now on.", negative=(), show_default=False),
]
NoTags = Annotated[bool, Parameter(help="Take all tags away.", negative=(), show_default=False)]


class Wanted(Struct, frozen=True):
    """What is to be written; None for what stays."""

    title: str | None
    notes: str | None
    tags: Sequence[str] | None

    @property
    def is_nothing(self) -> bool:
        """Whether it is only to be read."""
        return self.title is None and self.notes is None and self.tags is None


def say_metadata(metadata: Metadata, *, json: bool) -> None:
    """Show what was written down."""
    if json:
        say_json(metadata)
        return
    fields = [("Title", metadata.title), ("Tags", ", ".join(metadata.tags))]
    fields += [("Notes", line) for line in metadata.notes.splitlines()]
    say_fields([*fields, ("Changed", time_of(metadata.changed_at)), ("By", metadata.changed_by)])
