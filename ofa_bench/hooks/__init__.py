"""What a plugin can answer, how plugins are found, and the bus that asks them."""
