"""How something of the contracts is retired: a warning for a minor release, then it is gone."""

__all__ = ["RetirementWarning", "retired"]


class RetirementWarning(DeprecationWarning):
    """A plugin uses something that a later version of the contracts will not have."""


def retired(what: str, *, since: str, gone: str, instead: str) -> RetirementWarning:
    """Say what is retired since which version of the contracts, in which it will be gone, and what to use instead."""
    return RetirementWarning(f"{what} is retired since contracts {since} and will be gone in {gone}; use {instead}")
