"""What we use of libraries beside what they document: their next minor version may have it no more."""

import inspect
import re
from importlib.metadata import requires

import asyncssh
import pytest
import uvicorn
from asyncssh import public_key
from asyncssh.config import SSHClientConfig
from packaging.requirements import Requirement
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# Class and the members that our subclasses use, set or override.
MEMBERS: dict[type, str] = {
    uvicorn.Server: "config force_exit handle_exit lifespan on_tick server_state servers should_exit started startup "
    "shutdown",
    H11Protocol: "client conn connections cycle flow loop scheme transport connection_made data_received "
    "resume_writing send_400_response shutdown",
    WebSocketsSansIOProtocol: "close_sent conn curr_msg_data_type frames handshake_complete handshake_initiated queue "
    "scope transport writable handle_connect resume_writing send_receive_event_to_app",
    SSHClientConfig: "_handlers _match _matching _error",
}
# What a tunnel of asyncssh has to have, which it asks for by this name alone.
TUNNEL = "create_connection"
HOST_KEYS = "get_default_certificate_algs get_default_public_key_algs get_public_key_algs"


def names_of(kind: type) -> set[str]:
    """The members of a class: those that it has, and those that its methods set."""
    sources = "".join(
        inspect.getsource(each) for each in kind.__mro__ if each is not object and each.__module__ != "abc"
    )
    return {*dir(kind), *re.findall(r"\bself\.(\w+)\b(?=[^=\n]*=)", sources)}


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.__name__)
def test_the_members_that_we_use_are_there(kind: type) -> None:
    assert set(MEMBERS[kind].split()) - names_of(kind) == set()


def test_asyncssh_opens_a_connection_by_its_tunnel() -> None:
    assert f".{TUNNEL}(" in inspect.getsource(inspect.getmodule(asyncssh.SSHClientConnection) or asyncssh)


def test_the_algorithms_of_host_keys_can_be_listed() -> None:
    assert all(hasattr(public_key, name) for name in HOST_KEYS.split())


@pytest.mark.parametrize("library", ["asyncssh", "uvicorn"])
def test_a_library_whose_internals_are_used_is_capped_to_what_was_tested(library: str) -> None:
    found = [r for line in requires("virtumancer") or () if (r := Requirement(line)).name == library]
    assert found
    assert all(any(specifier.operator == "<" for specifier in one.specifier) for one in found)
