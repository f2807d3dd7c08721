"""The control socket, through which commands talk to the running daemon."""
