"""The HTTP face: resources that translate and never decide."""
