"""Download data sets that may be downloaded. Torch-free."""
