"""Peers: other people's programs, fetched into build/ and never installed."""
