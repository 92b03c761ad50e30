"""The serial transport."""
