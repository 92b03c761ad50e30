"""The parameters that every list takes, and the answer of those that are arrays: a page, with a link to the next."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from falcon.asgi import Request, Response
from msgspec import Meta

from virtumancer.errors import InvalidFilter, InvalidValue
from virtumancer.http.endpoint import Errors, Header, Query
from virtumancer.http.requests import send_json
from virtumancer.query.query import MAX_LIMIT, ListQuery, ListSchema, ParsedQuery

__all__ = [
    "LINK",
    "LIST_ERRORS",
    "LIST_QUERY",
    "Limit",
    "asked_of",
    "list_query",
    "send_list",
    "send_page",
]

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
LIST_QUERY = (
    Query(
        "limit",
        Annotated[int, Meta(ge=1, le=MAX_LIMIT)],
        f"How many at most, 1 to {MAX_LIMIT}; all of them unless said.",
    ),
    Query("cursor", str, "Where the page begins, as the answer before has it; with the same `sort`."),
    Query("filter", str, 'Only those that fit, as `state = "running" and name prefix "web"`.'),
    Query("sort", str, "The fields to sort by, with commas between them, `-` before one for descending."),
    Query("fields", str, "The fields to answer with, with commas between them."),
)
LIST_ERRORS: Errors = (InvalidValue, InvalidFilter)
EVERYTHING = ListQuery()
LINK = Header("Link", 'The next page, as `rel="next"`; not on the last one.')


def list_query(req: Request) -> ListQuery:
    """Read the parameters."""
    given = {name: req.get_param(name) for name in ListQuery.__struct_fields__}
    return msgspec.convert({name: value for name, value in given.items() if value is not None}, ListQuery)


def asked_of(req: Request, shape: ListSchema) -> ParsedQuery:
    """Read what is asked of a list. Raises `InvalidValue` and `InvalidFilter`."""
    query = list_query(req) if req.query_string else EVERYTHING
    return shape.everything if query == EVERYTHING else shape.understand(query)


def send_list(req: Request, resp: Response, rows: Sequence[Any], asked: ParsedQuery) -> None:
    """Answer with what was asked for of these rows, in the order they have unless there is another one."""
    found, cursor = asked.page(rows) if asked.reorders else (asked.fitting(rows), None)
    send_page(req, resp, found, cursor, asked)


def send_page(req: Request, resp: Response, rows: Sequence[Any], cursor: str | None, asked: ParsedQuery) -> None:
    """Answer with the rows of a page, and with a link to the next one if there is a cursor."""
    if cursor is not None:
        query = [pair for pair in parse_qsl(req.query_string, keep_blank_values=True) if pair[0] != "cursor"]
        resp.append_link(f"{quote(req.path)}?{urlencode([*query, ('cursor', cursor)])}", "next")
    send_json(resp, asked.shown(rows))
