"""Where a data set's files are, what they are, and their hashes; free of torch."""
