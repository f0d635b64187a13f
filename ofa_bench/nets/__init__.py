"""Networks: a supernet per family of spaces, and what may be done to one."""
