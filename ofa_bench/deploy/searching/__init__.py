"""A search, part by part: what is asked, which subnets are scored, what the answer is."""
