"""The reference of hooks, from the hook specifications."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from virtumancer import hookspecs
from virtumancer_reference.markdown import docstring

__all__ = ["hooks", "specifications"]


def specifications() -> Iterator[Callable[..., Any]]:
    """Yield the hooks in the order in which they are specified."""
    specified = [value for name, value in vars(hookspecs).items() if name.startswith(f"{hookspecs.PROJECT}_")]
    yield from sorted(specified, key=lambda function: function.__code__.co_firstlineno)


def hooks() -> str:
    """Write a section for each hook."""
    return "\n\n".join(
        f"## `{hook.__name__}`\n\n```python\ndef {hook.__name__}{_signature(hook)}: ...\n```\n\n{docstring(hook)}"
        for hook in specifications()
    )


def _signature(hook: Callable[..., Any]) -> str:
    # Only the class names; where they come from stands above the list of hooks.
    return re.sub(r"(?:\w+\.)+(?=[A-Z])", "", str(inspect.signature(hook)))
