"""The native extension, built from native/."""

INTERFACE: int
