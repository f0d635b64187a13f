"""Weights in from elsewhere, and subnets out."""
