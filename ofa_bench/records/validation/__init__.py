"""Recomputing what can be recomputed of a record."""
