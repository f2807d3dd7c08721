"""The fleet in the daemon: what connects its rules to the pipeline, and how it is."""
