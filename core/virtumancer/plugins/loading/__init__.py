"""Finds plugins, judges them, imports those that may be, and checks what they provide."""
