"""Enforcers put decisions into force."""
