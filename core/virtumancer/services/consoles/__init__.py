"""Consoles: tickets, sessions with their limits, and the bytes between a viewer and a VM."""
