"""Batches by address, from memory or streamed."""
