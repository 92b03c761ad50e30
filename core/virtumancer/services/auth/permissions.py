"""Rights, the roles that bundle them, and grants: which rights somebody has, on what."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping

from virtumancer.contracts.access import Grant, Right
from virtumancer.errors import InvalidValue

__all__ = [
    "ANY_RIGHT",
    "BUILT_IN",
    "ROLES",
    "TAG",
    "Grant",
    "Right",
    "check",
    "check_tags",
    "rights_of",
    "unknown_right",
]

ANY_RIGHT = "*"
TAG = "[a-z0-9][a-z0-9._:=/-]{0,62}"
TAG_FORM = "1 to 63 of the characters a-z 0-9 . _ : = / -, a letter or digit first"


ROLES: Mapping[str, frozenset[str]] = {
    "viewer": frozenset({Right.READ}),
    "operator": frozenset({Right.READ, Right.POWER, Right.CONSOLE, Right.CONSOLE_VIEW, Right.METADATA}),
    "admin": frozenset({ANY_RIGHT}),
}
"""What each role may do; an administrator has every right, those of plugins included."""


BUILT_IN: frozenset[str] = frozenset(right.value for right in Right)
"""The rights that are known without plugins."""


def rights_of(grant: Grant, roles: Mapping[str, frozenset[str]] | None = None) -> frozenset[str]:
    """Return all rights that a grant gives; `roles` are those that roles hold beside their own."""
    rights = frozenset(grant.rights)
    if grant.role:
        rights |= ROLES[grant.role] | (roles or {}).get(grant.role, frozenset())
    return rights | {Right.CONSOLE_VIEW} if Right.CONSOLE in rights else rights


def check_tags(tags: Iterable[str], field: str) -> None:
    """Raise `InvalidValue` for a tag of another form than tags have."""
    for tag in tags:
        if not re.fullmatch(TAG, tag):
            raise InvalidValue(f"{tag[:80]!r} is no tag: {TAG_FORM}", field=field)


def unknown_right(right: str, known: Collection[str]) -> str:
    """Say that there is no such right, with the one that was probably meant; empty when there is."""
    if right == ANY_RIGHT or right in known:
        return ""
    near = difflib.get_close_matches(right, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
    return f"there is no right {right[:80]!r}; {hint}"


def check(grants: tuple[Grant, ...], known: Collection[str] | None = None) -> None:
    """Raise `InvalidValue` for a grant that gives nothing, or says on what in a way that cannot be.

    With `known`, all rights there are, also for a right that is none of them.
    """
    for index, grant in enumerate(grants):
        place = f"grants[{index}]"
        for right in grant.rights if known is not None else ():
            if complaint := unknown_right(right, known or ()):
                raise InvalidValue(complaint, field=f"{place}.rights")
        if not rights_of(grant):
            roles = ", ".join(ROLES)
            raise InvalidValue(f"this grant gives nothing; name a role ({roles}) or rights", field=place)
        if grant.vm and not grant.host:
            raise InvalidValue("a grant on a VM names its host too", field=f"{place}.host")
        if grant.tag:
            check_tags((grant.tag,), f"{place}.tag")
            if grant.vm:
                raise InvalidValue("a grant is on one VM or by tag, not both", field=f"{place}.tag")
        if (grant.host or grant.tag) and not rights_of(grant) & {Right.READ, ANY_RIGHT}:
            raise InvalidValue("what one may not read one cannot use; add the right read", field=f"{place}.rights")
