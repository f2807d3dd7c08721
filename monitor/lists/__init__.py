"""Block lists from elsewhere: what a child process fetches, checks and leaves on disk for the daemon."""
