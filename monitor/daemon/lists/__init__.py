"""Block lists in force: read from the copies on disk, kept in a table of their own in the kernel."""
