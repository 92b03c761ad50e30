"""Skips for tests whose programs are missing, which are failures in CI."""

import os
from typing import NoReturn

import pytest

from .errors import LabError
from .processes import find_program


def skip(reason: str) -> NoReturn:
    """Skip the test, but fail it in CI, where a skipped test would pass for one that has run."""
    if os.environ.get("CI"):
        pytest.fail(f"In CI nothing may be skipped: {reason}")
    pytest.skip(reason)


def requires(*programs: str) -> None:
    """Skip the test when the lab cannot run these programs as root."""
    if os.geteuid() != 0:
        skip("The lab's daemons need root.")
    for program in programs:
        try:
            find_program(program)
        except LabError as error:
            skip(str(error))
