"""Configuration: typed schema, YAML loader that records file and line of values, JSON Schema."""
