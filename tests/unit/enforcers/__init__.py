"""Unit tests of the enforcers: pure code only."""
