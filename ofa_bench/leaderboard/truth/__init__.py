"""Ground truth: how rankings agree with nets that were trained alone. Without torch."""
