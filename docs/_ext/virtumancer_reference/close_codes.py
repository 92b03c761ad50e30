"""The table of close codes, from the enumeration that the core closes consoles with."""

from virtumancer.contracts import CloseCode
from virtumancer_reference.markdown import table
from virtumancer_reference.notes import notes_of

__all__ = ["close_codes"]


def close_codes() -> str:
    """Write a row for each code, lowest first."""
    notes = notes_of(CloseCode)
    rows = [(f"`{code.value}`", notes[code.name], f"`{code.name}`") for code in sorted(CloseCode)]
    return table(("Code", "Meaning", "Name"), rows)
