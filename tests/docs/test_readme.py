"""The calls of the README answer what stands there, in shape if not in every number."""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.docs.pages import ROOT, blocks
from virtumancer.app import create_app
from virtumancer.config import load_config, local_server

pytest.importorskip("libvirt")
README = (ROOT / "README.md").read_text(encoding="utf-8")
VARYING = {"hostname", "cpu_time", "instance", "db_id", "memory", "state"}
API = "http://localhost/api/v1"
TAKES_VALUE = {"-o", "-w", "-X", "-d"}


def request_of(command: str) -> tuple[str, str, str | None, bool]:
    """Read a call of `api`: method, path, body, and whether it prints the status instead of the answer."""
    flags: dict[str, str] = {}
    name, path, *rest = shlex.split(command)
    assert name == "api"
    words = iter(rest)
    for word in words:
        assert word in TAKES_VALUE
        flags[word] = next(words)
    method = flags.get("-X", "POST" if "-d" in flags else "GET")
    return method, path, flags.get("-d"), "-w" in flags


def stable(value: object, key: str = "") -> object:
    """Return a JSON document with the types in place of what differs from run to run."""
    if isinstance(value, dict):
        return {name: stable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [stable(item) for item in value]
    return type(value).__name__ if key in VARYING else value


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    """The configuration of `scripts/run`, on a database of its own."""
    text = (ROOT / "examples/demo/virtumancer.toml").read_text().replace("/PATH/TO/VIRTUMANCER", quote(str(ROOT)))
    file = tmp_path / "demo.toml"
    file.write_text(text)
    return file


async def test_the_first_five_calls_answer_as_the_readme_says(demo: Path) -> None:
    config = load_config(demo, {"HOME": str(demo.parent)}, {"database.url": f"sqlite://{demo.parent}/virtumancer.db"})

    async with create_app(config) as application:
        transport = httpx2.ASGITransport(application)
        header = {"Authorization": f"Bearer {local_server(config).token()}"}
        async with httpx2.AsyncClient(transport=transport, base_url=API, headers=header) as client:
            await client.post("/hosts/demo/connect")
            for block in blocks(README, "console"):
                command, _, printed = block.strip().partition("\n")
                method, path, body, prints_status = request_of(command.removeprefix("$ "))
                answer = await client.request(method, path, content=body)
                if prints_status:
                    assert str(answer.status_code) == printed
                else:
                    assert stable(answer.json()) == stable(json.loads(printed))


def test_the_readme_has_five_calls() -> None:
    assert len(list(blocks(README, "console"))) == 5


def test_the_pages_that_the_readme_links_to_are_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
