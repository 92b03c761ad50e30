"""The only caller of plugin code: deadlines, counts, a rest for what keeps failing, a check of what comes back."""
