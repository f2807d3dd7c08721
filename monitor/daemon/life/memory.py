"""Memory after the start."""

import ctypes
import gc


def collect() -> None:
    """Collect garbage, and have the collector pass over what is left: the greater part of `settle`, done earlier."""
    gc.collect()
    gc.freeze()


def settle() -> None:
    """Return what the start took, and have the garbage collector pass over what is to stay.

    Reading a large table takes memory once, and glibc keeps the pages. Looking through all modules and the ledger for
    garbage takes 30 ms, for which a ban would wait.
    """
    collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
