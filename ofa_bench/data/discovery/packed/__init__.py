"""Images inside big files, addressed by index: tar shards and parquet files. Torch-free."""
