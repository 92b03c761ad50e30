"""Finds plugins, takes each in behind a guard of its own, and remembers what became of it."""

from virtumancer.plugins.loading.discovery import GROUP
from virtumancer.plugins.loading.registry import DriverEntry, Plugins, load_configured_plugins, load_plugins
from virtumancer.plugins.loading.table_validation import app_label

__all__ = ["GROUP", "DriverEntry", "Plugins", "app_label", "load_configured_plugins", "load_plugins"]
