"""Peers: other programs to compare with, unpacked in build/ and never installed."""
