"""Replay: a recording, told to the very same pipeline, with another configuration if wanted; no kernel is touched."""
