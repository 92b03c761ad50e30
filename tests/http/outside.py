"""What others do to the database of an application."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["change_database"]


async def change_database(folder: Path, statement: str) -> None:
    """Change the database in a thread: what the application writes beside has to come to its end meanwhile."""

    def change() -> None:
        with closing(sqlite3.connect(folder / "virtumancer.db")) as database, database:
            database.execute(statement)

    await asyncio.to_thread(change)
