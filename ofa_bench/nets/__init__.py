"""Supernets and their elastic layers, subnet extraction, initialization, channel sorting."""
