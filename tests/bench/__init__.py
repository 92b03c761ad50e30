"""Benchmarks: what the program costs, measured side by side with what it stands on, in one run."""
