"""Hostile files: everything a stranger can hand over, mutated, against the public commands."""
