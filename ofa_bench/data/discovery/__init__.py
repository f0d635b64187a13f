"""Locate, list and hash the files of a data set. Torch-free."""
