"""A run before it runs: assembly, compatibility, cost, shared beginnings; free of torch."""
