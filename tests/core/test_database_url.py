"""Which URLs name a database, and that none of them gives its password away."""

import pytest

from virtumancer.config.database_url import PostgreSQLTarget, SQLiteTarget, parse_url
from virtumancer.errors import StoreUnavailable
from virtumancer.store import Database


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/virtumancer.db", "/var/lib/virtumancer.db"),
        ("sqlite:////var/lib/virtumancer.db", "/var/lib/virtumancer.db"),
        ("sqlite://var/virtumancer.db", "var/virtumancer.db"),
        ("sqlite:///a%20b%3F.db", "/a b?.db"),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_what_follows_the_two_slashes_is_the_path_of_a_sqlite_file(url, path):
    assert parse_url(url) == SQLiteTarget(path)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "asyncpg"])
def test_a_postgresql_url_has_three_spellings(scheme):
    expected = PostgreSQLTarget("db.example", 5433, "me", "p@ss", "virtu", max_size=9)
    assert parse_url(f"{scheme}://me:p%40ss@db.example:5433/virtu?max_size=9") == expected


def test_what_a_postgresql_url_leaves_out_is_left_to_the_environment():
    assert parse_url("postgresql:///virtu") == PostgreSQLTarget(None, None, None, None, "virtu")


def test_a_socket_folder_is_given_as_host_option():
    assert parse_url("postgresql:///virtu?host=/run/postgresql") == PostgreSQLTarget(
        "/run/postgresql", None, None, None, "virtu"
    )


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "no scheme; write sqlite:///"),
        ("virtumancer.db", "no scheme"),
        ("mysql://me:s3cret@db/virtu", "an unknown scheme, 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///a%00b", "NUL"),
        ("sqlite:///a.db?mode=ro", "takes no options"),
        ("postgresql://me:s3cret@db:http/virtu", "the port is a number"),
        ("postgresql://me:s3cret/x@db/virtu", "percent-encoded"),
        ("postgresql://me:5432/s3cret@db/virtu", "percent-encoded"),
        ("postgresql://me:s3cret#x@db/virtu", "percent-encoded"),
        ("postgresql://me:s3cret?x@db/virtu", "percent-encoded"),
        ("postgresql://me:[s3cret@db/virtu", "percent-encoded"),
        ("postgresql://me:s3cret@db/virtu?sslmod=require", "unknown option"),
        ("postgresql://me:s3cret@db/virtu?max_size=none", "from 1 to 100"),
        ("s3cret", "no scheme"),
    ],
)
def test_a_url_that_names_no_database_is_refused_without_repeating_it(url, sentence):
    with pytest.raises(StoreUnavailable) as refused:
        Database(url)
    assert sentence in refused.value.message
    assert "s3cret" not in f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"


def test_the_password_is_in_no_name_and_no_representation():
    target = parse_url("postgresql://me:s3cret@db.example/virtu")
    assert "s3cret" not in f"{target!r} {target.name}"
    assert "me@db.example/virtu" in target.name
