"""A person's mistakes when the program starts."""

from virtumancer.errors.base import VirtumancerError

__all__ = ["ConfigError", "UsageError"]


class UsageError(VirtumancerError):
    """A mistake of the person who starts the program."""

    code = "usage-error"


class ConfigError(UsageError):
    """The configuration has a wrong or unknown key; the message holds its path and the cure."""

    code = "config-error"
