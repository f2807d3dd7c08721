"""Benchmarks that compare nodewarden with other programs (peers): `python -m bench`."""
