"""Trial configurations."""
