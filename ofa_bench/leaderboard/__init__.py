"""Tracks, rows, fronts, statistics and claims, computed from records; free of torch."""
