"""The connection to one host, and whether it is alive."""
