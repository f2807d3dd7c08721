"""Configuration: typed schema, YAML loader with places, reference and JSON Schema."""
