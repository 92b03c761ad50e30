"""The benchmarks can still be run: who moves a module sees here that one of them leans on it.

What they measure is for `scripts/bench`; here the quick ones measure as little as they can.
"""

import pkgutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from tests import bench
from tests.bench import events, plugin_calls, requests
from tests.bench.figures import Figure, as_table

pytest.importorskip("libvirt")

NAMES = [module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("test_")]
SMALLEST = {
    "plugin-calls": partial(plugin_calls.measure, calls=10),
    "events": partial(events.measure, sizes=events.Sizes(vms=2, readers=2, changes=2, rate=20.0, burst=4)),
    "requests": partial(requests.measure, requests=dict.fromkeys(requests.REQUESTS, 8), vms=2, rounds=1),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_part_of_the_benchmarks_finds_what_it_needs(name: str) -> None:
    import_module(f"tests.bench.{name}")


@pytest.mark.parametrize("name", SMALLEST)
def test_a_quick_benchmark_measures_something(name: str, tmp_path: Path) -> None:
    measure: Callable[[Path], Iterator[Figure]] = SMALLEST[name]
    figures = list(measure(tmp_path))
    assert len(as_table(figures).splitlines()) == len(figures) + 1 > 2
