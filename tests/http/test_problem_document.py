"""What a problem is called does not depend on the Python that the server runs on."""

from http import HTTPStatus

import pytest

from virtumancer.http.problem_document import problem_document


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (413, "Request Entity Too Large"),
        (414, "Request-URI Too Long"),
        (416, "Requested Range Not Satisfiable"),
        (422, "Unprocessable Entity"),
    ],
)
def test_a_title_that_python_changed_is_what_it_was(status: int, title: str) -> None:
    assert problem_document(HTTPStatus(status), "code", "detail")["title"] == title


def test_other_titles_are_those_of_the_status() -> None:
    assert problem_document(HTTPStatus.NOT_FOUND, "code", "detail")["title"] == "Not Found"
