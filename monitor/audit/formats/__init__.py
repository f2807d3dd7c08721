"""Forms in which programs read a report."""
