"""Where settings come from, and how a raw value becomes one of the type that is wanted."""
