"""`make demo`: a scan is banned before your eyes, in a private lab."""
