"""The guard's feeds: what the node needs and must never ban."""
