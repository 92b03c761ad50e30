"""Everything that happens, in one order: kept, resumed, filtered for each reader, and told to plugins."""
