"""Help, completion, finding the server, and who may do what."""

import asyncio
from importlib import import_module
from pathlib import Path

import pytest

from tests.http.cli.program import Program
from virtumancer.cli import COMMANDS, GROUPS


@pytest.mark.parametrize("name", GROUPS)
def test_the_help_of_the_program_says_the_same_as_that_of_the_group(name: str) -> None:
    assert import_module(f"virtumancer.cli.commands.{name}").app.help == GROUPS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_the_program_says_the_same_as_that_of_the_command(name: str) -> None:
    place, text = COMMANDS[name]
    module, _, attribute = place.partition(":")
    command = getattr(import_module(f"virtumancer.cli.commands.{module}"), attribute)
    said = getattr(command, "help", None) or command.__doc__
    assert " ".join(said.split("\n\n")[0].split()) == text


async def test_the_help_of_the_program_says_what_each_command_does(tmp_path: Path) -> None:
    shown = (await Program(tmp_path, {}).run("--help")).out
    assert "Serve the API until interrupted." in shown
    assert "List the plugins" in shown


async def test_help_does_not_import_what_a_command_needs(tmp_path: Path) -> None:
    program = Program(tmp_path, {"PYTHONPROFILEIMPORTTIME": "1"})
    imported = (await program.run("--help")).err
    for slow in ("httpx2", "websockets", "tortoise", "falcon", "asyncssh", "uvicorn", "virtumancer.client"):
        assert f" {slow}\n" not in imported


async def test_completion_can_be_installed(tmp_path: Path) -> None:
    done = await Program(tmp_path, {"SHELL": "/bin/bash"}).run("--install-completion")
    assert done.code == 0, done.err
    assert any("virtumancer" in text for text in await asyncio.to_thread(texts, tmp_path))


def texts(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.rglob("*") if path.is_file()]
