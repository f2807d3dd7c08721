"""Metrics: the catalogue and its exporter."""
