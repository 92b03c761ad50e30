"""VMs: listing, describing, choosing and photographing them."""
