"""The classes of errors, the names that are exported and the tree that is drawn agree."""

import re
from collections.abc import Iterator

from virtumancer import errors
from virtumancer.errors import VirtumancerError

LINE = re.compile(r"^((?:│   |    )*)[├└]── (\w+)", re.MULTILINE)


def below(kind: type[VirtumancerError], depth: int = 0) -> Iterator[tuple[int, str]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("virtumancer.errors") and each.__bases__[0] is kind:
            yield depth, each.__name__
            yield from below(each, depth + 1)


def test_the_tree_the_exported_names_and_the_classes_agree() -> None:
    drawn = [(len(indent) // 4, name) for indent, name in LINE.findall(errors.__doc__ or "")]
    assert sorted(drawn) == sorted(below(VirtumancerError))
    assert sorted([name for _, name in drawn] + ["VirtumancerError"]) == sorted(errors.__all__)


def test_each_error_has_a_code_of_its_own() -> None:
    codes = [getattr(errors, name).code for name in errors.__all__]
    assert len(set(codes)) == len(codes)
