"""The garbage collector, while a recording is replayed: it finds nothing, and looking takes a tenth of the time."""

import contextlib
import gc
from collections.abc import Iterator

_YOUNG, _OLDER, _OLDEST = 100_000, 50, 50


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage rarely, and never look at what is there already. For every loop that feeds a replay."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDEST)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
