"""The command line: one command, one file; the only part that imports click or rich."""
