"""Tables of a plugin in the server's database."""

from msgspec import Struct

__all__ = ["PluginTables"]


class PluginTables(Struct, frozen=True):
    """Modules, by their dotted names: Tortoise `models`, and the package with their `migrations`. Since 1.3.

    The name of each table begins with that of the plugin and two underscores, as in `my_plugin__jobs` for the plugin
    `my-plugin`. Tortoise calls the app like the plugin too, with `_` for `-`. The tables stay when the plugin is taken
    away.
    """

    models: str
    migrations: str
