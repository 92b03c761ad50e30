"""Minutes of mixed load while one part after the other is killed, frozen or changed from outside."""
