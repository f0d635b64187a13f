"""Commands for what a finished run is for."""
