"""Commands on what a finished run is for."""
