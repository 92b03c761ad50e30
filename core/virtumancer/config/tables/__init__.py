"""The tables of the configuration, one Struct each."""
