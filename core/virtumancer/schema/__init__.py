"""JSON Schemas of our types, with what their docstrings say."""
