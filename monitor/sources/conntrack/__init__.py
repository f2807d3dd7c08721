"""Connection tracking: flows as they open, complete a handshake and close."""
