"""Control socket: how commands talk to the running daemon."""
