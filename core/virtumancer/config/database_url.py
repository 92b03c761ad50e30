"""Database URLs: which database is meant, with the password kept out of every text."""

from contextlib import suppress
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from msgspec import Struct

from virtumancer.errors import StoreUnusable

__all__ = ["MEMORY", "PostgreSQLTarget", "SQLiteTarget", "parse_url"]

MEMORY = ":memory:"
_FORMS = "sqlite:///path/to/file.db or postgresql://user:password@host:port/database"
_POSTGRESQL = frozenset({"postgresql", "postgres", "asyncpg"})
_OPTIONS = frozenset({"host", "sslmode", "max_size"})


class SQLiteTarget(Struct, frozen=True):
    """A file of SQLite, or `:memory:`."""

    path: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"SQLite database {self.path}"


class PostgreSQLTarget(Struct, frozen=True):
    """A database of a PostgreSQL server; what is None is left to the PG… variables of the environment."""

    host: str | None
    port: int | None
    user: str | None
    password: str | None
    database: str | None
    sslmode: str | None = None
    max_size: int = 5

    @property
    def name(self) -> str:
        """How messages call it, without the password."""
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"PostgreSQL database {user}{self.host or ''}{port}/{self.database or ''}"

    def __repr__(self) -> str:
        return f"<{self.name}>"


def parse_url(url: str) -> SQLiteTarget | PostgreSQLTarget:
    """Read a database URL; raises `StoreUnusable`, whose message never holds the URL itself."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return _sqlite(rest)
    if separator and scheme in _POSTGRESQL:
        return _postgresql(url)
    # Without a separator the text may be anything, a password too.
    named = f"an unknown scheme, {scheme!r}" if separator and scheme.isalnum() else "no scheme"
    raise StoreUnusable(f"The database URL has {named}; write {_FORMS}.")


def _sqlite(rest: str) -> SQLiteTarget:
    # All that follows `sqlite://` is the path, as Tortoise reads it: with three slashes it is absolute.
    path, _, query = rest.partition("?")
    if query:
        raise StoreUnusable("The database URL of a SQLite file takes no options; remove what follows the '?'.")
    if not path.strip("/"):
        raise StoreUnusable("The database URL names no file; write sqlite:///path/to/file.db.")
    if "\0" in (path := unquote(path)):
        raise StoreUnusable("The path in the database URL holds a NUL character, which no file name can.")
    if path.startswith("//"):  # four slashes, as other programs write it
        path = "/" + path.lstrip("/")
    return SQLiteTarget(path)


def _postgresql(url: str) -> PostgreSQLTarget:
    parts, port = _split(url)
    options = _options(parts)
    return PostgreSQLTarget(
        host=parts.hostname or options.get("host"),
        port=port,
        user=_decoded(parts.username),
        password=_decoded(parts.password),
        database=_decoded(parts.path.removeprefix("/")),
        sslmode=options.get("sslmode"),
        max_size=_size(options.get("max_size", "5")),
    )


def _split(url: str) -> tuple[SplitResult, int | None]:
    # The error of urlsplit quotes parts of the URL, so it must not even be the context of ours.
    with suppress(ValueError):
        parts = urlsplit(url)
        # An `@` that comes later shows that a character of the password has ended it too early.
        if "@" not in parts.path:
            return parts, parts.port
    raise StoreUnusable(
        "The database URL cannot be read: the port is a number, "
        "and / # ? @ [ ] in a user name or password have to be percent-encoded."
    )


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text else None


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.fragment or not options.keys() <= _OPTIONS:
        known = ", ".join(sorted(_OPTIONS))
        raise StoreUnusable(
            f"The database URL has an unknown option; known are {known}. "
            "A '#' or '?' in the password has to be percent-encoded."
        )
    return options


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise StoreUnusable("max_size in the database URL must be a number of connections from 1 to 100.")
    return int(text)
