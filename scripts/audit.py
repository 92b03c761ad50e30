#!/usr/bin/env python3
"""Looks up whether what a user would install has known vulnerabilities: pip says what that is, pip-audit looks it up.

Ends with 1 when something has a vulnerability. What could not be looked up is listed, loudly, and ends with 0 unless
`--strict` is given: a machine without a way to the databases can still check everything else.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 45


def resolve() -> dict[str, str]:
    """Return the version of each distribution that `pip install virtumancer[all]` would take today."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "-qq", "--dry-run", "--ignore-installed"]
        subprocess.run([*command, "--report", report, f"{ROOT}[all]"], check=True, timeout=10 * TIMEOUT)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {_canonical(item["name"]): item["version"] for item in found if item["name"] != "virtumancer"}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def look_up(versions: dict[str, str], service: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the vulnerabilities of each that has some, and why others were not looked up."""
    with tempfile.TemporaryDirectory() as folder:
        pinned, answer = Path(folder) / "pinned.txt", Path(folder) / "answer.json"
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--timeout", "10"]
        output = ["--progress-spinner", "off", "--format", "json", "--output", answer, "--requirement", pinned]
        ended = subprocess.run(
            [*command, *service, *output], capture_output=True, text=True, timeout=4 * TIMEOUT, check=False
        )
        if not answer.exists():
            reason = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return {}, dict.fromkeys(versions, reason[:200])
        dependencies = json.loads(answer.read_text())["dependencies"]
    known = {item["name"]: [vuln["id"] for vuln in item["vulns"]] for item in dependencies if item.get("vulns")}
    return known, {item["name"]: item["skip_reason"] for item in dependencies if "skip_reason" in item}


def main() -> int:
    """Look everything up, first at PyPI, then what PyPI does not tell at OSV."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--strict", action="store_true", help="fail also when something could not be looked up")
    options.add_argument("--requirements", type=Path, help="NAME==VERSION lines to look up instead of our own")
    options.add_argument("--osv-url", default="https://api.osv.dev/v1/query", help="another server of the OSV API")
    given = options.parse_args()
    if given.requirements:
        versions = dict(line.split("==") for line in given.requirements.read_text().split())
    else:
        try:
            versions = resolve()
        except subprocess.SubprocessError as error:
            print(
                f"audit: WARNING: NOTHING WAS AUDITED: pip cannot say what it would install: {error}", file=sys.stderr
            )
            return int(given.strict)
    found, missed = look_up(versions, ["--vulnerability-service", "pypi"])
    if missed:
        more, missed = look_up({name: versions[name] for name in missed}, ["-s", "osv", "--osv-url", given.osv_url])
        found |= more
    for name, vulnerabilities in found.items():
        print(f"audit: {name} {versions[name]} has {', '.join(vulnerabilities)}", file=sys.stderr)
    if missed:
        print(
            f"audit: WARNING: {len(missed)} of {len(versions)} were NOT AUDITED: {', '.join(missed)}", file=sys.stderr
        )
        print(f"audit: the reason for the first: {next(iter(missed.values()))}", file=sys.stderr)
    print(f"audit: {len(versions) - len(missed)} of {len(versions)} looked up, {len(found)} with vulnerabilities")
    return 1 if found or (missed and given.strict) else 0


if __name__ == "__main__":
    sys.exit(main())
