"""The one training loop, its state, optimizer, teacher, checkpoints, devices and cost ledger."""
