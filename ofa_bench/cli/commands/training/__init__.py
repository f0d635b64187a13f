"""Commands that plan, train, resume and repeat runs."""
