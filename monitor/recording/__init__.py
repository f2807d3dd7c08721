"""Recordings: what the pipeline was told, in order, so that the same can be decided again."""
