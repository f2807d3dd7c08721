"""Tuning of thresholds with recorded history: what another configuration would have done, and to which sources."""
