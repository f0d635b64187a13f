"""Weight files from elsewhere: read, checked whole, and fitted to a network."""
