"""Results of a check as JUnit XML: what systems that run tests for people read."""

import html
import re
from collections.abc import Sequence

from virtumancer.testing.checking import Checked, Outcome

__all__ = ["junit"]

# What XML 1.0 cannot say at all, however it is escaped.
UNSPEAKABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(plugin: str, results: Sequence[Checked]) -> str:
    """Write a document with a test suite for each thing that was checked."""
    suites = "".join(_suite(plugin, result) for result in results)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<testsuites>\n{suites}</testsuites>\n'


def _suite(plugin: str, result: Checked) -> str:
    name = f"{plugin}.{result.kind}.{result.name}"
    outcomes = result.sentences or (Outcome("it is tested", "skipped", result.note, 0.0),)
    counts = {
        "tests": len(outcomes),
        "failures": sum(outcome.outcome == "failed" for outcome in outcomes),
        "skipped": sum(outcome.outcome == "skipped" for outcome in outcomes),
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }
    attributes = "".join(f' {key}="{value}"' for key, value in counts.items())
    cases = "".join(_case(name, outcome) for outcome in outcomes)
    return f"<testsuite name={_quoted(name)}{attributes}>\n{cases}</testsuite>\n"


def _case(suite: str, outcome: Outcome) -> str:
    case = f'<testcase classname={_quoted(suite)} name={_quoted(outcome.sentence)} time="{outcome.seconds:.3f}"'
    if outcome.outcome == "passed":
        return f"{case}/>\n"
    kind = "failure" if outcome.outcome == "failed" else "skipped"
    return (
        f"{case}><{kind} message={_quoted(outcome.reason)}>{html.escape(_said(outcome.reason))}</{kind}></testcase>\n"
    )


def _quoted(text: str) -> str:
    return f'"{html.escape(_said(text))}"'


def _said(text: str) -> str:
    return UNSPEAKABLE.sub("�", text)
