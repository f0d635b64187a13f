"""Runs handed to a cluster: a real Slurm of one node, unpacked into a folder."""
