"""The parts of a check: runs them one after the other, and tells what became of each."""

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

ROW = "{:<12}{:>8}  {}"
FAILED, NOT_RUN = 1, 3


class CannotRun(Exception):
    """This machine lacks something that the part needs; the message says what."""


@dataclass(frozen=True)
class Outcome:
    """How a part ended; `reason` says why it was not run."""

    name: str
    seconds: float
    passed: bool
    reason: str = ""

    @property
    def ended(self) -> str:
        if self.reason:
            return f"not run: {self.reason}"
        return "passed" if self.passed else "FAILED"


def run_parts(parts: Mapping[str, Callable[[], bool]], names: Iterable[str]) -> list[Outcome]:
    """Run the parts of these names, whatever becomes of those before; each says whether it passed."""
    return [_run(name, parts[name]) for name in names]


def _run(name: str, part: Callable[[], bool]) -> Outcome:
    print(f"\n== {name}", flush=True)
    began = time.monotonic()
    passed, reason = False, ""
    try:
        passed = part()
    except CannotRun as error:
        reason = str(error)
    except Exception:  # noqa: BLE001 - the others go on, and the table comes
        traceback.print_exc()
    return Outcome(name, time.monotonic() - began, passed, reason)


def table(outcomes: Sequence[Outcome]) -> str:
    rows = [ROW.format("part", "s", "")] + [ROW.format(one.name, f"{one.seconds:.0f}", one.ended) for one in outcomes]
    return "\n".join(row.rstrip() for row in rows)


def exit_status(outcomes: Iterable[Outcome]) -> int:
    """0 when all passed; FAILED when one failed, NOT_RUN when none failed and one was not run."""
    ended = list(outcomes)
    if any(not one.passed and not one.reason for one in ended):
        return FAILED
    return NOT_RUN if any(one.reason for one in ended) else 0
