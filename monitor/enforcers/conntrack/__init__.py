"""Cuts the established connections of a proven offender."""
