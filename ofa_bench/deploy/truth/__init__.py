"""Ground truth: nets of a space trained alone, and a supernet's ranking beside them."""
