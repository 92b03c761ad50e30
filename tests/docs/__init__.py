"""Tests that hold the documentation against the code."""
