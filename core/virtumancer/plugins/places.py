"""The names below the path of a VM that no plugin can have."""

__all__ = ["BELOW_VM", "FOR_CONSOLES"]

BELOW_VM = frozenset({"actions", "consoles", "hardware", "metadata", "screenshot", "stats"})
"""The core's own: the route table is held against this list whenever it is made, and does not begin to differ."""

FOR_CONSOLES = frozenset({"console", "serial", "spice"})
"""Suffixes of consoles that clients know; no action takes them, whatever plugins are there."""
