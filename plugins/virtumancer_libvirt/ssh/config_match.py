"""The conditions of `Match` in ssh_config, without the one that runs a program."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from virtumancer_libvirt.ssh.config_words import fits_list

__all__ = ["Verdict", "judge"]

_ALONE = frozenset({"all", "canonical", "final"})
_HOSTS = frozenset({"host", "originalhost"})
_FIB = Path("/proc/net/fib_trie")
_IF_INET6 = Path("/proc/net/if_inet6")


class Verdict(Struct, frozen=True):
    """Whether a block holds."""

    holds: bool
    runs_a_program: bool = False
    """It would hold if the program of `exec` said so."""
    asks_for_final: bool = False
    """Somebody wants a second reading, once the host name is known."""


class _Condition(Struct, frozen=True):
    name: str
    value: str
    negated: bool


def judge(words: list[str], subjects: Mapping[str, str], *, final: bool) -> Verdict:
    """Judge the words behind `Match`. Raises `ValueError` for a condition without its value.

    `subjects` is what each condition is about. A condition that we do not know never holds, so its block is left out:
    the hosts of the other blocks must not be lost by it.
    """
    conditions = list(_conditions(words, subjects))
    judged = [condition for condition in conditions if condition.name != "exec"]
    results = [_holds(condition, subjects, final) != condition.negated for condition in judged]
    unknown = any(condition.name not in _known(subjects) for condition in conditions)
    holds = all(results) and bool(conditions) and not unknown
    runs = holds and any(condition.name == "exec" for condition in conditions)
    asks = any(condition.name == "final" for condition in conditions)
    return Verdict(holds and not runs, runs, asks)


def _known(subjects: Mapping[str, str]) -> frozenset[str]:
    return _ALONE | {"exec", "localnetwork"} | subjects.keys()


def _conditions(words: list[str], subjects: Mapping[str, str]) -> Iterator[_Condition]:
    left = iter(words)
    for word in left:
        name, separator, value = word.partition("=")
        negated, name = name.startswith("!"), name.removeprefix("!").lower()
        if name in _known(subjects) - _ALONE and not value:
            value = _next_value(left, name, separator)
        yield _Condition(name, value, negated)
        if name not in _known(subjects):
            return  # whether it has a value is not known either


def _next_value(left: Iterator[str], name: str, separator: str) -> str:
    value = next(left, None)
    if value is not None and not separator and value.startswith("="):
        value = value[1:] or next(left, None)
    if value is None:
        raise ValueError(f"Match {name} needs a value")
    return value


def _holds(condition: _Condition, subjects: Mapping[str, str], final: bool) -> bool:
    if condition.name == "all":
        return True
    if condition.name in {"canonical", "final"}:
        return final
    if condition.name == "localnetwork":
        return _in_local_network(condition.value.split(","))
    subject = subjects.get(condition.name, "")
    if condition.name in _HOSTS:
        return fits_list(subject.lower(), condition.value.lower().split(","))
    return fits_list(subject, condition.value.split(","))


def _in_local_network(networks: list[str]) -> bool:
    addresses = list(_local_addresses())
    return any(address in ipaddress.ip_network(text, strict=False) for text in networks for address in addresses)


def _local_addresses() -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses of this machine, for which the standard library has no call."""
    for text in dict.fromkeys(re.findall(r"([0-9.]+)\n\s+/32 host LOCAL", _text(_FIB))):
        yield ipaddress.IPv4Address(text)
    for line in _text(_IF_INET6).splitlines():
        yield ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""  # a system that does not say: no address, and the block does not hold
