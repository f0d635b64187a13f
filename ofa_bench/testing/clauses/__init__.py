"""The contract's clauses: one file for each kind of plugin part."""
