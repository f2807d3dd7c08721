"""Tells people what the daemon decided: a process of its own follows the events, groups them and sends messages."""
