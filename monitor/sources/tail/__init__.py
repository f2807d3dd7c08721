"""Log files, followed by name."""
