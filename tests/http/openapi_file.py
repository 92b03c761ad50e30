"""The OpenAPI document as a file: what is said of the API, so that each change of it is seen.

`python -m tests.http.openapi_file` writes it anew.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.plugins import load_plugins

FILE = Path(__file__).with_name("openapi.json")
BUILT_IN = ("libvirt", "networks", "power", "serial", "spice", "suspend", "vnc")


async def current() -> dict[str, Any]:
    """Ask a server with the built-in plugins for its document; the version of the program is left out."""
    with tempfile.TemporaryDirectory() as home:
        config = load_config(None, {"HOME": home}, {"server.auth": "off"})
        async with create_app(config, load_plugins(allowed=BUILT_IN)) as application:
            transport = httpx2.ASGITransport(application)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
                document: dict[str, Any] = (await client.get("/openapi.json")).raise_for_status().json()
    document["info"]["version"] = "0"
    return document


def kept() -> dict[str, Any]:
    """Read the file."""
    document: dict[str, Any] = msgspec.json.decode(FILE.read_bytes())
    return document


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Say what is removed, added and changed, each with its place in the document."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            at = f"{place}/{key}"
            if key not in new:
                yield f"removed: {at}"
            elif key not in old:
                yield f"added:   {at}"
            else:
                yield from differences(old[key], new[key], at)
    elif isinstance(old, list) and isinstance(new, list):
        yield from (f"removed: {place}: {item}" for item in old if item not in new)
        yield from (f"added:   {place}: {item}" for item in new if item not in old)
    elif old != new:
        yield f"changed: {place}: {old!r} is now {new!r}"


if __name__ == "__main__":
    text = msgspec.json.format(msgspec.json.encode(asyncio.run(current()), order="deterministic"), indent=1)
    FILE.write_bytes(text + b"\n")
