"""Libraries that not everybody has: what a missing one needs, and what a hub's refusals mean."""
