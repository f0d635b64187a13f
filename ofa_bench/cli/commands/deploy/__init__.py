"""Commands that put a finished run to use: search, measure, export, adopt, fine-tune, publish."""
