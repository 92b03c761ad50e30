"""Tests wait for conditions, and are told what they were when they did not come true."""

import asyncio

import pytest

from tests.waiting import until


async def test_it_returns_the_first_answer_that_is_true() -> None:
    answers = iter([0, "", [], "here"])

    assert await until(lambda: next(answers)) == "here"


async def test_the_condition_may_be_asynchronous() -> None:
    assert await until(lambda: asyncio.sleep(0, "here")) == "here"


async def test_what_does_not_come_true_fails_with_the_last_answer() -> None:
    with pytest.raises(AssertionError, match=r"within 0.05 s; the last answer was \[\]"):
        await until(list, 0.05)


async def test_a_condition_that_does_not_answer_fails_too() -> None:
    with pytest.raises(AssertionError, match=r"within 0.05 s"):
        await until(asyncio.Event().wait, 0.05)
