"""Finds plugins, takes each in behind a guard of its own, and remembers what became of it."""

from virtumancer.plugins.candidates import GROUP
from virtumancer.plugins.loader import DriverEntry, Plugins, load_configured_plugins, load_plugins

__all__ = ["GROUP", "DriverEntry", "Plugins", "load_configured_plugins", "load_plugins"]
