"""A million operations on bans, compared with a simple model."""

import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.bans_walk import Mismatch, walking
from tests.support.lab import Lab

_OPERATIONS = 1_000_000
_CHECK_EVERY = 10_000
_TOLD_EVERY = 10
_MAX_BATCH = 800
_SEED = 20_240_602


@benchmark("model_operations_survived")
def model_walk() -> Iterator[Figure]:
    """Random operations on bans after which ledger and kernel matched a simple model (operations; must be all).

    The daemon's stages (policy, ledger, store, table, enforcer) run on a node of the lab with these operations: orders
    and unbans of 5,000 addresses and 400 overlapping prefixes in batches, bans of tenths of a second to days, so that
    many expire meanwhile, flushed rulesets, restarts, and kills that lose unsaved changes. Every 10,000 operations and
    after each start all expiry times are compared, single addresses one by one and prefixes by the addresses they
    cover, to within two seconds. A mismatch fails the benchmark and reports seed and step; the seed is fixed. No peer.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the losses are intended
    start_s = time.monotonic()
    told = iter(range(_OPERATIONS))

    def tell(text: str) -> None:
        if next(told) % _TOLD_EVERY == _TOLD_EVERY - 1:
            progress(f"{text}, {time.monotonic() - start_s:.0f} s")

    try:
        with (
            Lab("node", label="bench") as lab,
            tempfile.TemporaryDirectory(prefix="nw-bench-") as directory,
            walking(lab["node"], Path(directory), _SEED, max_batch=_MAX_BATCH) as walk,
        ):
            walk.run(_OPERATIONS, _CHECK_EVERY, tell)
            progress(", ".join(f"{count:,} {kind}" for kind, count in walk.done.most_common()))
            yield Figure("model_operations_survived", walk.steps, "operations")
    except Mismatch as error:
        raise BenchmarkError(str(error)) from error
    finally:
        logging.disable(before)
