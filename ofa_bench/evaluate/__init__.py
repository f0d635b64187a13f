"""Evaluation: which nets stand for a space, their norm statistics, and what they get right."""
