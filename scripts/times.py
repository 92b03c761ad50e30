"""Says what took how long: `times.py BEGAN PREPARED RESULT…`, seconds since the epoch and files of results of tox."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROW = "{:<12}{:>12}{:>12}{:>12}  {}"


def rows(result: Path) -> Iterator[tuple[str, float, float, str]]:
    """Yield for each environment its name, the seconds for preparing it and for its commands, and how it ended."""
    for name, environment in json.loads(result.read_text())["testenvs"].items():
        if "result" not in environment:  # that of a package, which others wait for
            continue
        commands = sum(command["elapsed"] for command in environment.get("test", ()))
        ended = "passed" if environment["result"]["success"] else "FAILED"
        yield name, environment["result"]["duration"] - commands, commands, ended


def main(began: str, prepared: str, *results: str) -> None:
    """Print the table; what ran side by side counts once in the sum."""
    print(f"\n{ROW.format('part, in s', 'preparing', 'checks', 'sum', '')}".rstrip())
    setup = float(prepared) - float(began)
    print(ROW.format("setup", f"{setup:.0f}", "", f"{setup:.0f}", "").rstrip())
    for result in map(Path, results):
        for name, preparing, commands, ended in rows(result) if result.exists() else ():
            numbers = (f"{seconds:.0f}" for seconds in (preparing, commands, preparing + commands))
            print(ROW.format(name, *numbers, ended))
    print(ROW.format("wall clock", "", "", f"{time.time() - float(began):.0f}", "").rstrip())


if __name__ == "__main__":
    main(*sys.argv[1:])
