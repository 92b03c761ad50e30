"""schemathesis against a server: every operation with what the document allows, and with what it does not."""

import asyncio
import os
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("schemathesis")
HERE = Path(__file__).parent
# A run asks what the run before it asked, unless one wants to look elsewhere.
SEED = os.environ.get("FUZZ_SEED", "1")
# At first the host of the examples and the token that calls are to stay, so that the others have something to work on.
ENDING = ("removeHost", "disconnectHost", "revokeToken")


async def fuzz(url: str, token: str, folder: Path) -> None:
    """Run all checks and phases; raises with schemathesis' report when something does not keep to the document."""
    without, alone = ((f"--{verb}-operation-id={name}" for name in ENDING) for verb in ("exclude", "include"))
    await _run(url, token, folder, "--phases=examples,coverage,fuzzing", "--max-examples=10", *without)
    # Coverage draws nothing: asked again, it would ask the same. It is most of the cost.
    await _run(url, token, folder, "--phases=coverage", *alone)
    await _run(url, token, folder, "--phases=examples,fuzzing,stateful", "--max-examples=5")


async def _run(url: str, token: str, folder: Path, *flags: str) -> None:
    running = await asyncio.create_subprocess_exec(
        PROGRAM,
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        f"{url}/api/v1/openapi.json",
        f"--header=Authorization: Bearer {token}",
        "--exclude-by=/x-websocket == true",
        "--generation-database=none",
        "--no-color",
        f"--seed={SEED}",
        *flags,
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS_FILE": str(HERE / "schemathesis_hooks.py")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
    assert running.returncode == 0, output.decode()[-20_000:]
    assert b"Test cases:" in output, output.decode()[-20_000:]
