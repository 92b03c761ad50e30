"""The migrations of the core's tables; a released one is never edited."""
