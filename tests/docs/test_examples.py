"""What the pages quote works: configuration files, flags, host URIs, messages."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from virtumancer_reference.configuration import settings

from tests.docs.pages import ROOT, blocks, page, pages
from virtumancer.cli import app
from virtumancer.config import load_config

URI = re.compile(r"\b(?:qemu|xen|lxc|test|ch|bhyve)(?:\+\w+)?://[^\s\"'`<>…]+")
PAGES = pages()


def _configurations() -> Iterator[object]:
    for name, text in PAGES.items():
        for code in blocks(text, "toml"):
            if "project" not in tomllib.loads(code):  # that one is a plugin's pyproject.toml
                yield pytest.param(code, id=name)


@pytest.mark.parametrize("code", list(_configurations()))
def test_a_quoted_configuration_is_accepted(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r'"env:(\w+)"', code):
        monkeypatch.setenv(name, "a secret")
    secret, file = tmp_path / "secret", tmp_path / "virtumancer.toml"
    secret.write_text("a secret")
    file.write_text(re.sub(r'"file:[^"]+"', f'"file:{secret}"', code))

    load_config(file, {"HOME": str(tmp_path)}, {})


def test_every_flag_in_the_pages_exists() -> None:
    known = {name for argument in app["serve"].assemble_argument_collection() for name in argument.names}
    quoted = {
        flag
        for text in PAGES.values()
        for line in re.findall(r"virtumancer serve[^\n`]*", text)
        for flag in re.findall(r"--[a-z-]+", line)
    }

    assert quoted <= known


def test_every_setting_in_the_pages_exists() -> None:
    known = {path for path, _ in settings()}
    tables = "|".join(sorted({path.partition(".")[0] for path in known}))
    quoted = {name for text in PAGES.values() for name in re.findall(rf"`((?:{tables})\.\w+)", text)}

    assert {name for name in quoted if not name.endswith((".py", ".diff"))} <= known


def _generous_driver() -> Any:
    config = pytest.importorskip("virtumancer_libvirt.config").LibvirtConfig(local_files=True)
    return pytest.importorskip("virtumancer_libvirt.driver").LibvirtDriver(config)


def test_every_host_uri_in_the_pages_is_accepted() -> None:
    driver = _generous_driver()
    uris = {uri.rstrip(".,;)") for text in PAGES.values() for uri in URI.findall(text)}

    assert len(uris) > 10
    for uri in sorted(uris):
        driver.check_uri(uri)


def test_every_message_of_the_troubleshooting_page_is_one_that_the_program_says() -> None:
    said = list(_sentences())
    quoted = re.findall(r"^:Message: `(.*)`$", page("how-to/troubleshooting"), re.M)

    unknown = [message for message in quoted if not any(_fits(message, sentence) for sentence in said)]

    assert len(quoted) > 20
    assert unknown == []


def _fits(message: str, sentence: str) -> bool:
    parts = [re.escape(part) for part in message.split("…")]
    return re.fullmatch(".*".join(parts) + ".*", sentence, re.S) is not None


def _sentences() -> Iterator[str]:
    """Yield every text in the source, with `…` in place of what is filled in."""
    for folder in ("core", "plugins"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def test_every_file_of_the_code_that_a_page_names_is_there() -> None:
    named = re.findall(r"`(\w+/\w+\.py|\w+\.py)`", page("explanation/architecture"))

    assert named
    for name in named:
        assert [file for folder in ("core", "plugins") for file in (ROOT / folder).rglob(name)], name


def test_a_decision_is_short_and_has_its_three_parts() -> None:
    records = {name: text for name, text in PAGES.items() if re.search(r"decisions/\d{4}", name)}

    assert records
    for name, text in records.items():
        assert len(text.splitlines()) <= 25, name
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.M) == ["Context", "Decision", "Consequence"], name
