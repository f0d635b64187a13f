"""A subnet under a budget: costs, a surrogate of accuracy, and searchers. Without torch."""
