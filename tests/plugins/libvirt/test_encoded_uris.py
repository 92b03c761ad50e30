"""What is refused of a URI is refused percent-encoded too: it is decoded once, as libvirt does, and judged then."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtumancer.errors import InvalidValue
from virtumancer_libvirt.driver import LibvirtDriver

from .conftest import Connect
from .nodes import Guest, write_node
from .ssh.test_uri import REFUSED
from .test_allowed_uris import BY_THE_OPERATOR, ROUND_ABOUT

# These are refused for how they are encoded, or for their length: encoded once more, they are others.
ABOUT_ENCODING = ("escape", "UTF-8", "character", "longer", "empty", "zone", "://")
PARTS = re.compile(r"(?P<scheme>[^:]*://)(?P<user>[^@/?]*@)?(?P<host>[^/?]*)(?P<path>[^?]*)(?P<params>.*)", re.DOTALL)
PLACES = ("user", "host", "path", "params")
URIS = sorted(
    {uri for uri, word in REFUSED.items() if word not in ABOUT_ENCODING and "%ff" not in uri and "%c2" not in uri}
    | {*BY_THE_OPERATOR, *ROUND_ABOUT}
)


def once(text: str) -> str:
    """Encode all that is no separator, nor encoded already."""
    return re.sub(
        r"%[0-9A-Fa-f]{2}|[^:/?&;=@\[\]]", lambda found: found[0] if found[0][1:] else f"%{ord(found[0]):02x}", text
    )


def all_of_it(text: str) -> str:
    """Encode the separators within a value too, as a client does."""
    return re.sub(r"(?<==)[^&;]+|(?<!=)[^:/?&;=@\[\]]", lambda found: "".join(f"%{ord(c):02X}" for c in found[0]), text)


def twice(text: str) -> str:
    """Encode what is encoded already."""
    return once(text).replace("%", "%25")


def spellings(uri: str, encode: Callable[[str], str]) -> Iterator[str]:
    """The URI with each part encoded alone, and with all of them."""
    found = PARTS.fullmatch(uri)
    assert found
    parts = {name: text or "" for name, text in found.groupdict().items()}
    for places in (*((place,) for place in PLACES), PLACES):
        changed = parts | {place: encode(parts[place]) for place in places}
        yield "".join(changed.values())


def accepted(uri: str) -> bool:
    """Whether a host with it may be added."""
    try:
        LibvirtDriver().check_uri(uri)
    except InvalidValue:
        return False
    return True


@pytest.mark.parametrize("encode", [once, all_of_it, twice])
@pytest.mark.parametrize("uri", URIS)
def test_what_is_refused_is_refused_in_every_spelling(uri: str, encode: Callable[[str], str]) -> None:
    assert [spelling for spelling in sorted({uri, *spellings(uri, encode)}) if accepted(spelling)] == []


def test_the_spellings_are_those_of_each_part_and_of_all() -> None:
    assert [*spellings("qemu://me@h/ab?c=/d", once)] == [
        "qemu://%6d%65@h/ab?c=/d",
        "qemu://me@%68/ab?c=/d",
        "qemu://me@h/%61%62?c=/d",
        "qemu://me@h/ab?%63=/%64",
        "qemu://%6d%65@%68/%61%62?%63=/%64",
    ]
    assert [*spellings("qemu:///ab?c=/d", all_of_it)][-1] == "qemu:///%61%62?%63=%2F%64"
    assert [*spellings("qemu:///ab", twice)][-1] == "qemu:///%2561%2562"


async def test_libvirt_opens_what_was_checked(connect: Connect, tmp_path: Path) -> None:
    """A file whose name looks like an escape is that file, and not the one whose name it would decode to."""
    encoded, plain = tmp_path / "n%6fde é.xml", tmp_path / "node é.xml"
    write_node(encoded, [Guest("right")])
    write_node(plain, [Guest("wrong")])

    host = await connect(f"test://{tmp_path}/n%256fde%20%C3%A9.xml")

    assert [vm.name for vm in await host.list_vms()] == ["right"]
