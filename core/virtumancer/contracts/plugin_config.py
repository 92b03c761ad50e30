"""The configuration of a plugin: its table `[plugins.<name>]` as a Struct, and secrets that are never shown."""

from msgspec import Struct

__all__ = ["PluginConfig", "Secret"]


class PluginConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What a plugin's own table in the configuration file holds; a plugin inherits from it and adds its fields.

    An unknown key is refused with the nearest name, a value that does not fit with the field. A field of type `Secret`
    is given as `env:NAME` or `file:PATH`.
    """

    async def check(self) -> None:
        """Test this configuration against what it names: `virtumancer check-config` does.

        Raise an error of `virtumancer.errors` that says what is wrong and what to do. The default finds nothing wrong.
        """


class Secret:
    """A value that must not be seen: it has no representation and cannot be encoded; `source` is where it came from."""

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """Return the value itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"<Secret from {self.source}>"

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be copied out of this process")
