"""Audit of what is open on this node: facts are gathered, checks judge them, a report says what they found."""
