"""What people wrote down about hosts and VMs."""
