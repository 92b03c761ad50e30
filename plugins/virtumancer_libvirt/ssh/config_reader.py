"""Reads the settings of ssh_config that concern one host, and leaves alone what nobody here asks for."""

import glob
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import NoReturn, TypeVar

from msgspec import Struct

from virtumancer_libvirt.ssh.config_match import judge
from virtumancer_libvirt.ssh.config_words import expand, fits_list, printable, split_line, words_of

__all__ = ["ConfigError", "HostConfig", "port_of"]

T = TypeVar("T")

_ONE = frozenset(
    {"addressfamily", "hostkeyalias", "hostname", "identitiesonly", "identityagent", "port", "proxyjump", "tag", "user"}
    | {"ciphers", "hostkeyalgorithms", "kexalgorithms", "macs"}
)
_LISTS = frozenset({"globalknownhostsfile", "userknownhostsfile"})
_SUMS = frozenset({"certificatefile", "identityfile"})
"""Options of which every line counts; of the others the first one."""
_WHOLE_LINE = frozenset({"proxycommand"})
_PROXIES = frozenset({"proxycommand", "proxyjump"})
"""The first of the two wins over the other, even as `none`."""
_MOST_INCLUDES = 16


class ConfigError(ValueError):
    """A mistake in a line that concerns the host; the message says where."""


class _Setting(Struct, frozen=True):
    words: Sequence[str]
    place: str


class HostConfig:
    """What a configuration file says about one host. `user` and `port` are those of the URI, which go first."""

    def __init__(self, host: str, local_user: str, user: str | None = None, port: int | None = None) -> None:
        self._host = host
        self._local_user = local_user
        self._user = user
        self._port = port
        self._settings: dict[str, list[_Setting]] = {}
        self._applies = True
        self._final = False
        self._final_wanted = False
        self._place = ""

    def read(self, path: Path) -> None:
        """Read a file with what it includes. Raises `ConfigError` and `OSError`."""
        self._read_file(path, depth=0)
        if self._final_wanted:
            self._final = True
            self._read_file(path, depth=0)

    @property
    def hostname(self) -> str:
        """The name or address to connect to."""
        text = self.word("hostname")
        if text is None:
            return self._host
        # Nothing else is filled in here, so the zone of an address needs no second `%`.
        return text.replace("%%", "%").replace("%h", self._host)

    @property
    def port(self) -> int:
        """The TCP port; `Port` may be the name of a service."""
        return self._port or self._value("port", port_of) or 22

    @property
    def user(self) -> str:
        """Who logs in."""
        return self._user or self._value("user", lambda text: expand(text, self._tokens_of_user)) or self._local_user

    def word(self, option: str) -> str | None:
        """Return the only word of an option that is set."""
        setting = self._first(option)
        return setting.words[0] if setting else None

    def expanded(self, option: str) -> str | None:
        """Return the only word of an option with `%x` and `${NAME}` filled in."""
        return self._value(option, self._expand)

    def expanded_list(self, option: str) -> list[str] | None:
        """Return all words of an option with `%x` and `${NAME}` filled in; `none` is no word; None where not set."""
        settings = self._settings.get(option)
        if settings is None:
            return None
        words = [self._at(setting, self._expand, word) for setting in settings for word in setting.words]
        return [word for word in words if word.lower() != "none"]

    def choice(self, option: str, values: Mapping[str, T]) -> T | None:
        """Return what the word of an option stands for, None where it is not set."""

        def chosen(text: str) -> T:
            if text.lower() not in values:
                raise ValueError(f"it is one of {', '.join(values)}")
            return values[text.lower()]

        return self._value(option, chosen)

    def _value(self, option: str, read: Callable[[str], T]) -> T | None:
        setting = self._first(option)
        return None if setting is None else self._at(setting, read, setting.words[0])

    def _first(self, option: str) -> _Setting | None:
        return self._settings.get(option, [None])[0]

    def _at(self, setting: _Setting, read: Callable[[str], T], word: str) -> T:
        try:
            return read(word)
        except ValueError as error:
            raise ConfigError(printable(f"{setting.place}: {word}: {error}")) from error

    def _expand(self, text: str) -> str:
        return expand(text, self._tokens)

    @property
    def _tokens_of_user(self) -> dict[str, str]:
        local = socket.gethostname()
        known = {"h": self.hostname, "n": self._host, "p": str(self.port), "u": self._local_user}
        home = str(Path("~").expanduser())
        return known | {"d": home, "i": str(os.getuid()), "l": local, "L": local.partition(".")[0]}

    @property
    def _tokens(self) -> dict[str, str]:
        known = self._tokens_of_user | {"r": self.user, "j": self.word("proxyjump") or ""}
        way = "".join(known[token] for token in "lhpr")
        digest = sha1(way.encode("utf-8", "surrogateescape"), usedforsecurity=False)
        return known | {"k": self.word("hostkeyalias") or self._host, "C": digest.hexdigest()}

    def _read_file(self, path: Path, depth: int) -> None:
        if depth > _MOST_INCLUDES:
            self._fail(f"there are more than {_MOST_INCLUDES} files in one another; does Include go round?")
        outside = self._applies
        # Comments and file names may be in any encoding; what is not UTF-8 is kept as it is.
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").removeprefix("\ufeff").split("\n")
        for number, line in enumerate(lines, 1):
            self._place = f"{path} line {number}"
            self._read_line(*split_line(line), depth)
        self._applies = outside

    def _read_line(self, keyword: str, rest: str, depth: int) -> None:
        if keyword in {"host", "match"}:
            self._applies = (self._host_fits if keyword == "host" else self._matches)(self._words(rest))
        elif not self._applies:
            return
        elif keyword == "include":
            place = self._place
            for pattern in self._words(rest):
                self._include(pattern, depth)
            self._place = place
        elif keyword in _ONE | _LISTS | _SUMS | _WHOLE_LINE:
            self._set(keyword, [rest] if keyword in _WHOLE_LINE else self._words(rest))

    def _words(self, rest: str) -> list[str]:
        try:
            words = words_of(rest)
        except ValueError as error:
            self._fail(str(error))
        if not words:
            self._fail("a value is missing")
        return words

    def _fail(self, message: str) -> NoReturn:
        raise ConfigError(printable(f"{self._place}: {message}"))

    def _set(self, option: str, words: Sequence[str]) -> None:
        if len(words) > 1 and option not in _LISTS:
            self._fail(f"{' '.join(words)}: {option} takes one value")
        taken = _PROXIES if option in _PROXIES else {option}
        setting = _Setting(words, self._place)
        if option in _SUMS:
            known = self._settings.setdefault(option, [])
            if all(words != one.words for one in known):
                known.append(setting)
        elif taken.isdisjoint(self._settings):
            self._settings[option] = [setting]

    def _host_fits(self, patterns: Sequence[str]) -> bool:
        return fits_list(self._host, patterns)

    def _matches(self, words: list[str]) -> bool:
        subjects = {
            "host": self.hostname,
            "originalhost": self._host,
            "user": self._user or self.word("user") or self._local_user,
            "localuser": self._local_user,
            "tagged": self.word("tag") or "",
            # No OpenSSH, no command and no terminal: blocks for those are not for us.
            "version": "",
            "command": "",
            "sessiontype": "none",
        }
        try:
            verdict = judge(words, subjects, final=self._final)
        except ValueError as error:
            self._fail(str(error))
        if verdict.runs_a_program:
            self._fail("Match exec is not supported, because it runs a program")
        self._final_wanted = self._final_wanted or verdict.asks_for_final
        return verdict.holds

    def _include(self, pattern: str, depth: int) -> None:
        with suppress(ValueError):  # older versions of OpenSSH fill in nothing here
            pattern = expand(pattern, self._tokens)
        full = Path("~/.ssh").expanduser() / Path(pattern).expanduser()
        for path in sorted(glob.glob(str(full))):  # noqa: PTH207 - pathlib's star takes hidden files too
            if Path(path).is_file():
                self._read_file(Path(path), depth + 1)


def port_of(text: str) -> int:
    """Return the number of a TCP port, which may be given by its name. Raises `ValueError`."""
    if text.isascii() and text.isdecimal():
        port = int(text[:6])
        if not 1 <= port <= 65535:
            raise ValueError("a port is a number from 1 to 65535")
        return port
    try:
        return 22 if text == "ssh" else socket.getservbyname(text, "tcp")
    except (OSError, UnicodeError) as error:
        raise ValueError("no TCP service has this name; write the port as a number") from error
