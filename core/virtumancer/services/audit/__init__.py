"""The audit log: what is done is on record before, and completed after."""
