"""How much memory the daemon keeps."""

import ctypes
import gc
import sys

from monitor.daemon.life import mappings

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
    _trim()


def settle_again() -> None:
    """Return what only the first seconds took: directories of modules, memory of the heap, text of the start."""
    sys.path_importer_cache.clear()  # the next import makes those that it needs
    _trim()
    mappings.release()


def _trim() -> None:
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
