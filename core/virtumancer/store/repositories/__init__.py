"""One repository for each kind of thing that is stored."""
