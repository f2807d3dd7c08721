"""Sources: what the daemon reads. A folder each, with reader, pure decoder, settings, metrics and requirements."""
