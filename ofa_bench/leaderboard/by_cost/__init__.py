"""Accuracy by what it costs: curves over training budgets, best nets over ranges of MACs."""
