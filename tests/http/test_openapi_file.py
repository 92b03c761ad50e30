"""The API is as the file says that is kept of it: a change of it is seen, and decided on when it breaks a client."""

from tests.http.openapi_file import current, differences, kept


async def test_the_document_is_the_one_that_is_kept() -> None:
    found = [*differences(kept(), await current())]

    assert found == [], (
        "The API is described otherwise than tests/http/openapi.json has it. What is only added is written with "
        "`python -m tests.http.openapi_file`; what is removed or changed breaks clients: it needs a decision in "
        "docs/decisions first.\n" + "\n".join(found)
    )


def test_a_difference_is_named_with_its_place() -> None:
    old = {"paths": {"/a": {"get": {"tags": ["one"]}}, "/b": {}}, "openapi": "3.0"}
    new = {"paths": {"/a": {"get": {"tags": ["one", "two"]}}, "/c": {}}, "openapi": "3.1"}

    assert [*differences(old, new)] == [
        "added:   /paths//a/get/tags: two",
        "removed: /paths//b",
        "added:   /paths//c",
        "changed: /openapi: '3.0' is now '3.1'",
    ]
