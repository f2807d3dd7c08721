"""What the daemon knows of the notifier: it reads a file, opens no connection and waits for nothing."""
