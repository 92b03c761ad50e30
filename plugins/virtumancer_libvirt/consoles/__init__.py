"""How a console or a screenshot of a VM is reached."""
