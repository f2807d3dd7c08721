"""Unit tests on the Pythons of newer releases of Debian."""
