"""What a finished run is for: search it, take a subnet out, prove it, measure it, publish it."""
