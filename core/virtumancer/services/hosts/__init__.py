"""Hosts: one supervised session for each, its inventory, and what is known of its VMs."""
