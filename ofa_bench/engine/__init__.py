"""The machine: assembles a run from its parts, trains it by one loop, keeps its ledger."""
