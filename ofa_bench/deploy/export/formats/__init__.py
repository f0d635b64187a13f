"""File formats that a subnet is exported to, one a module."""
