"""The generated parts of the reference are complete, and each has a place."""

import re

import pytest
from virtumancer_reference import PARTS, marker
from virtumancer_reference.command_line import commands
from virtumancer_reference.configuration import flags, settings
from virtumancer_reference.hooks import specifications

from tests.docs.pages import page
from virtumancer import hookspecs
from virtumancer.config import Config, load_config


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_generated_part_has_a_place_on_its_page(part: str) -> None:
    assert page(PARTS[part][0]).count(marker(part)) == 1


def test_every_setting_is_described_with_value_and_default() -> None:
    text = PARTS["configuration"][1]()
    sections = dict(re.findall(r"^### `([\w.]+)`\n\n(.*?)(?=^##|\Z)", text, re.M | re.S))

    expected = {path for path, _ in settings()} - {"plugins.tables"}

    assert set(sections) == expected
    assert all(":Value: " in section and ":Default: " in section for section in sections.values())


def test_every_table_of_the_configuration_has_a_heading() -> None:
    headings = re.findall(r"^## `\[+(\w+)\]+`$", PARTS["configuration"][1](), re.M)

    assert headings == list(Config.__struct_fields__)


def test_a_flag_of_the_reference_sets_what_it_is_said_to_set() -> None:
    assert flags()["server.tls_cert"] == "--tls-cert"
    assert flags()["database.url"] == "--database"


def test_a_documented_environment_variable_is_accepted(tmp_path) -> None:
    variables = re.findall(r"^:Environment: `(\w+)`$", PARTS["configuration"][1](), re.M)
    defaults = {"VIRTUMANCER_SERVER_PORT": "9000", "VIRTUMANCER_LOG_LEVEL": "debug", "HOME": str(tmp_path)}
    assert defaults.keys() - {"HOME"} <= set(variables)

    config = load_config(None, defaults, {})

    assert (config.server.port, config.log.level) == (9000, "debug")


def test_every_hook_is_described() -> None:
    text = PARTS["hooks"][1]()

    names = {name for name in hookspecs.__all__ if name.startswith("virtumancer_")}

    assert names == {hook.__name__ for hook in specifications()}
    assert names == set(re.findall(r"^## `(\w+)`$", text, re.M))


def test_every_command_is_described() -> None:
    text = PARTS["command-line"][1]()

    assert {"serve", "plugins", "check-config"} <= set(commands())
    assert all(f"## `virtumancer {name}`" in text for name in commands())
