"""The border to raw SQL: statements with `?` for both dialects, rows whose columns come in the order asked for."""

import itertools
from collections.abc import Sequence
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient

__all__ = ["execute_many", "query"]


async def query(connection: BaseDBAsyncClient, statement: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
    """Return the rows of a SELECT or PRAGMA."""
    untyped: Any = connection
    rows: Sequence[Sequence[Any]] = (await untyped.execute_query(_placed(connection, statement), list(values)))[1]
    return rows


async def execute_many(connection: BaseDBAsyncClient, statement: str, values: Sequence[Sequence[Any]]) -> None:
    """Run one statement for each list of values."""
    await connection.execute_many(_placed(connection, statement), [list(row) for row in values])


def _placed(connection: BaseDBAsyncClient, statement: str) -> str:
    if connection.capabilities.dialect == "sqlite":
        return statement
    numbers = itertools.count(1)
    first, *others = statement.split("?")
    return first + "".join([f"${next(numbers)}{text}" for text in others])
