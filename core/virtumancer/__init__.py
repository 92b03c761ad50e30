"""Virtumancer: manage the hypervisors you already have, and extend any part of it with a plugin."""

from virtumancer.hookspecs import hookimpl

__all__ = ["__version__", "hookimpl"]

__version__ = "0.1.0"
"""The version of Virtumancer; that of the contracts is `virtumancer.contracts.VERSION`."""
