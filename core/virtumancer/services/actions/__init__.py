"""Actions on VMs: what is possible, doing it, waiting for its goal, and many at once."""
