"""How much memory the daemon keeps."""

import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h


def share() -> None:
    """Have all threads allocate from one arena, before there are threads; mallopt(3).

    glibc gives each of the first threads an arena of its own. Ours hold the interpreter's lock when they allocate, so
    arenas save them nothing and take 0.1 MB each.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, 1)


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
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
