"""The zoo: legitimate traffic of every kind against the real daemon. None of it may lead to a ban."""
