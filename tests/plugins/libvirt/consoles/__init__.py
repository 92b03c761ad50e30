"""Consoles and screenshots on real hypervisors."""
