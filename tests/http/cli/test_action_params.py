"""The parameters of an action, as they are typed and as the server wants them."""

from typing import Any, Literal

import msgspec
import pytest
from msgspec import Struct, field

from virtumancer.cli.action_params import params_of, takes
from virtumancer.contracts import ActionOffer
from virtumancer.errors import UsageError


class Inner(Struct):
    reason: str = ""


class Params(Struct):
    name: str
    count: int = 1
    ratio: float = 0.5
    now: bool = False
    mode: Literal["soft", "hard"] = "soft"
    level: int | None = None
    label: str | None = None
    tags: list[str] = field(default_factory=list)
    inner: Inner = field(default_factory=Inner)
    two_words: str = ""


OFFER = ActionOffer("freeze", "Freeze", "", "ice", "power", False, msgspec.json.schema(Params))


def params(**words: str) -> dict[str, Any]:
    return params_of("freeze", {"name": "x", **words}, [OFFER])


@pytest.mark.parametrize(
    ("word", "text", "value"),
    [
        ("name", "12", "12"),
        ("name", '"quoted"', '"quoted"'),
        ("count", "12", 12),
        ("ratio", "0.25", 0.25),
        ("now", "true", True),
        ("mode", "hard", "hard"),
        ("level", "3", 3),
        ("level", "null", None),
        ("label", "null", "null"),
        ("tags", '["a", "b"]', ["a", "b"]),
        ("inner", '{"reason": "r"}', {"reason": "r"}),
        ("two-words", "x", "x"),
    ],
)
def test_a_word_becomes_what_the_schema_wants(word: str, text: str, value: object) -> None:
    found = params(**{word: text})
    assert found[word.replace("-", "_")] == value
    msgspec.convert(found, Params)


@pytest.mark.parametrize(("word", "text"), [("count", "many"), ("now", "yes"), ("tags", "a,b"), ("level", "x")])
def test_a_word_that_cannot_be_meant_is_refused_by_name(word: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"--{word} has to be"):
        params(**{word: text})


def test_a_parameter_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"no parameter 'coutn'; did you mean count\?.*it takes: name, count"):
        params(coutn="1")


def test_a_parameter_that_is_needed_is_named() -> None:
    with pytest.raises(UsageError, match="needs the parameter --name"):
        params_of("freeze", {"count": "1"}, [OFFER])


def test_an_action_that_is_not_offered_is_left_to_the_server() -> None:
    assert params_of("thaw", {"count": "1"}, [OFFER]) == {"count": "1"}


def test_what_an_action_takes_is_shown_by_name() -> None:
    assert list(takes(OFFER))[:3] == ["name", "count", "ratio"]
