"""What the members of groups may do whom somebody else keeps: an OpenID provider, or the authenticator of a plugin."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from virtumancer.contracts.access import Grant
from virtumancer.errors import ConfigError, InvalidValue
from virtumancer.services.auth.permissions import check, unknown_right

__all__ = ["GroupGrants"]


class GroupGrants:
    """The grants of each group, from the table of the configuration that is called `place`. Raises `ConfigError`."""

    def __init__(self, place: str, grants: Mapping[str, tuple[Grant, ...]]) -> None:
        self._place = place
        self._grants = grants
        for group, given in grants.items():
            try:
                check(given)
            except InvalidValue as error:
                raise ConfigError(f"{place}.{group}: {error.field}: {error.message}") from error

    def misspelt(self, known: Collection[str]) -> Iterator[str]:
        """Yield a sentence for each right that is none of the `known` ones, those of plugins included."""
        for group, given in self._grants.items():
            for right in dict.fromkeys(right for grant in given for right in grant.rights):
                if complaint := unknown_right(right, known):
                    yield f"{self._place}.{group}: {complaint}"

    def of(self, groups: Iterable[str]) -> tuple[Grant, ...]:
        """Return what members of these groups may do; a group that nobody configured gives nothing."""
        found = (grant for group in groups for grant in self._grants.get(group, ()))
        return tuple(dict.fromkeys(found))

    def given(self) -> tuple[Grant, ...]:
        """Return what members of any group may do."""
        return self.of(self._grants)
