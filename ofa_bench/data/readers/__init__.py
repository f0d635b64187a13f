"""Images from files, archives and caches as tensors."""
