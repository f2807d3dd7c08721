"""Sources: one reader for each thing outside, its pure decoder beside it."""
