"""Records of searches: schema, files, and what can be recomputed of them. Without torch."""
