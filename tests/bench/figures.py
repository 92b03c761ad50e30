"""A figure of a benchmark: what was measured, what it is held against, and how it is printed."""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter


@dataclass(frozen=True)
class Figure:
    """One measured number; `limit` is the most it should be, None where nothing was promised."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    note: str = ""

    @property
    def held(self) -> bool:
        return self.limit is None or self.value <= self.limit


def median_of(work: Callable[[], object], times: int) -> float:
    """Return the median time of a call, in seconds."""
    taken: list[float] = []
    for _ in range(times):
        began = perf_counter()
        work()
        taken.append(perf_counter() - began)
    return statistics.median(taken)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def as_json(figures: Iterable[Figure]) -> str:
    return json.dumps([asdict(figure) | {"held": figure.held} for figure in figures], indent=2)


def as_table(figures: Sequence[Figure]) -> str:
    width = max(len(figure.name) for figure in figures)
    rows = [f"{'what':{width}}  {'measured':>14}  {'at most':>10}"]
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:g}"
        verdict = "" if figure.held else "  MISSED"
        measured = f"{figure.value:.4g} {figure.unit}"
        rows.append(f"{figure.name:{width}}  {measured:>14}  {limit:>10}{verdict}{_note(figure)}")
    return "\n".join(rows)


def _note(figure: Figure) -> str:
    return f"  ({figure.note})" if figure.note else ""
