"""The last audit, as the daemon knows it from the report that root wrote."""
