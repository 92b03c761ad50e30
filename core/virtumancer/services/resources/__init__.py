"""Resources of plugins: where they are, who serves them, and what comes back."""
