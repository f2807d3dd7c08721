"""What sources send, counted by the XDP program."""
