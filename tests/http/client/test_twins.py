"""The synchronous client has every method of the asynchronous one."""

from typing import Any

import pytest

from virtumancer.client import AsyncClient, Client, Console, ConsoleStream


def methods(thing: Any) -> dict[str, str | None]:
    names = [name for name in dir(type(thing)) if not name.startswith("_")]
    return {name: getattr(type(thing), name).__doc__ for name in names if callable(getattr(thing, name))}


@pytest.mark.parametrize("part", ["server", "hosts", "vms", "consoles", "operations", "events", "access"])
async def test_each_part_has_the_same_methods_as_its_asynchronous_twin(part: str) -> None:
    async with AsyncClient("http://localhost") as there:
        with Client("http://localhost") as here:
            wanted, had = methods(getattr(there, part)), dir(getattr(here, part))
    assert set(wanted) <= set(had)


async def test_both_clients_have_the_same_parts() -> None:
    async with AsyncClient("http://localhost") as there:
        with Client("http://localhost") as here:
            parts = [{name for name in vars(client) if not name.startswith("_")} for client in (there, here)]
    assert parts[0] == parts[1]


def test_a_console_has_the_same_methods() -> None:
    wanted = {name for name in vars(ConsoleStream) if not name.startswith("_")}
    assert wanted <= set(vars(Console))
