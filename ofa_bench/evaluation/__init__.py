"""Candidates, batch-norm calibration, and scoring along a prefix tree."""
