"""Data sets and the batches made of them. `datasets`, `options` and `layout` are torch-free."""
