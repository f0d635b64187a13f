"""Latency of extracted blocks and nets: devices, rounds, tables, and whole nets."""
