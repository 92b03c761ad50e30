"""How the database is opened, migrated, locked, timed and written."""
