"""Immutable records of runs, and the boards computed from them; free of torch."""
