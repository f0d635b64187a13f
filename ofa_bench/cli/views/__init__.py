"""Everything that rich draws: records, boards, curves, progress."""
