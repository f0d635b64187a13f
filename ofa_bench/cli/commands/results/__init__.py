"""Commands that read finished runs: boards, reports, records."""
