"""One run from request to record, and many runs compared. Importing this imports no torch."""
