"""Data sets and their batches. `discovery` is torch-free."""
