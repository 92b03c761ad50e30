"""Runs the benchmarks and prints JSON and a table; exits with 1 when a promise was missed."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bench import (
    access,
    consoles,
    events,
    frames,
    isolation,
    link,
    listing,
    lists,
    plugin_calls,
    plugins,
    requests,
)
from tests.bench.figures import Figure, as_json, as_table

BENCHMARKS: Mapping[str, Callable[[Path], Iterator[Figure]]] = {
    "listing": listing.measure,
    "link": link.measure,
    "isolation": isolation.measure,
    "consoles": consoles.measure,
    "plugins": plugins.measure,
    "plugin-calls": plugin_calls.measure,
    "access": access.measure,
    "lists": lists.measure,
    "events": events.measure,
    "requests": requests.measure,
    "frames": frames.measure,
}
GROUPS = {"api": ("events", "lists", "requests")}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure this program; ratios and medians of one run."
    )
    parser.add_argument(
        "benchmark",
        nargs="*",
        choices=[*BENCHMARKS, *GROUPS, []],
        help=f"all of them when none is named; api stands for {', '.join(GROUPS['api'])}",
    )
    parser.add_argument("--json", type=Path, help="write the JSON to this file instead of printing it")
    options = parser.parse_args()
    figures: list[Figure] = []
    named = [name for word in options.benchmark for name in GROUPS.get(word, (word,))]
    for name in named or BENCHMARKS:
        sys.stderr.write(f"measuring {name} …\n")
        with tempfile.TemporaryDirectory(prefix="vb") as folder:
            figures += BENCHMARKS[name](Path(folder))
    if options.json:
        options.json.write_text(as_json(figures) + "\n")
    else:
        sys.stdout.write(as_json(figures) + "\n")
    sys.stdout.write(as_table(figures) + "\n")
    return 0 if all(figure.held for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
