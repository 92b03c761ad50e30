"""Words, patterns and tokens of ssh_config, read as OpenSSH reads them."""

import os
import re
from collections.abc import Mapping, Sequence

__all__ = ["expand", "fits", "fits_list", "printable", "split_line", "words_of"]

_LINE = re.compile(r"[ \t]*([^ \t=\"]+)[ \t]*=?[ \t]*(.*)", re.DOTALL)
_END_OF_LINE = " \t\r\n\f"
_ESCAPABLE = "'\"\\"


def split_line(line: str) -> tuple[str, str]:
    """Return the keyword of a line, in lower case, and the rest; `("", "")` for a line that says nothing."""
    match = _LINE.fullmatch(line.rstrip(_END_OF_LINE))
    if match is None or match[1].startswith("#"):
        return "", ""
    return match[1].lower(), match[2]


def words_of(text: str) -> list[str]:
    """Split the rest of a line; a `#` that begins a word ends it. Raises `ValueError` for a quote that stays open."""
    words: list[str] = []
    position = 0
    while (position := _past_blanks(text, position)) < len(text) and text[position] != "#":
        word, position = _word(text, position)
        words.append(word)
    return words


def _past_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t":
        position += 1
    return position


def _word(text: str, position: int) -> tuple[str, int]:
    word, quote = "", ""
    while position < len(text):
        character, following = text[position], text[position + 1 : position + 2]
        escapable = _ESCAPABLE if quote else _ESCAPABLE + " "
        if character == "\\" and following and following in escapable:
            word += following
            position += 1
        elif not quote and character in " \t":
            break
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            word += character
        position += 1
    if quote:
        raise ValueError(f"a quote ({quote}) is opened and not closed")
    return word, position


def fits(text: str, pattern: str) -> bool:
    """Say whether a text fits a pattern of `*` and `?`."""
    pieces = (".*" if character == "*" else "." if character == "?" else re.escape(character) for character in pattern)
    # One star after the other would be tried in every way to share the text.
    return re.fullmatch(re.sub(r"(\.\*)+", ".*", "".join(pieces)), text, re.DOTALL) is not None


def fits_list(text: str, patterns: Sequence[str]) -> bool:
    """Say whether a text fits one of the patterns and none of those behind a `!`."""
    if any(pattern.startswith("!") and fits(text, pattern[1:]) for pattern in patterns):
        return False
    return any(fits(text, pattern) for pattern in patterns if not pattern.startswith("!"))


def expand(text: str, tokens: Mapping[str, str]) -> str:
    """Fill in `%x` and `${NAME}`. Raises `ValueError` for a token or a variable that is not there."""

    def value(match: re.Match[str]) -> str:
        letter, name = match.groups()
        if name is not None:
            if name not in os.environ:
                raise ValueError(f"${{{name}}} is not in the environment")
            return os.environ[name]
        if letter == "%":
            return "%"
        if letter not in tokens:
            raise ValueError(f"%{letter} means nothing here")
        return tokens[letter]

    return re.sub(r"%(.?)|\$\{([^{}]*)\}", value, text, flags=re.DOTALL)


def printable(text: str) -> str:
    """Return a text of a file in another encoding as it can be sent to a client."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
