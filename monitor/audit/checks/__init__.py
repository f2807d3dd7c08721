"""The checks, one module each: `registry.py` finds them."""
