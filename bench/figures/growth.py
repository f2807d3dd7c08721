"""Growth of what is pure: the allowlist, filters, and counters with a value for each CPU."""

import ctypes
import gc
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from unittest.mock import patch

from bench.growth import growth
from bench.log_lines import benign_lines
from bench.registry import Figure, benchmark
from bench.scan_run import scan
from monitor.bans.guard import Guard
from monitor.ebpf import maps
from monitor.ebpf.messages import MapShape
from monitor.model.addresses import Network, network_of
from monitor.model.bans import AllowEntry

_ROUNDS = 3
_ENTRIES = (10, 100, 1000, 10_000, 100_000)
_QUESTIONS = 2000
_FILTERS = (1, 10, 100, 1000)
_LINES = 100_000
_CPUS = (2, 16, 128, 512)
_COUNTERS, _COUNTED = 4096, 100
"""Reasons, families and directions of the map `drops`, and how many of them a node has seen."""


@benchmark("growth_allowlist_entry_ns", "growth_allowlist_question_ns")
def growth_allowlist() -> Iterator[Figure]:
    """Build the guard from 10 to 100,000 networks of both families (ns per entry) and ask it (ns per question).

    Half of the questions are about addresses and half about IPv6 prefixes; few of them are allowed. CPU time, medians
    over rounds.
    """
    builds: dict[int, list[float]] = {size: [] for size in _ENTRIES}
    questions: dict[int, list[float]] = {size: [] for size in _ENTRIES}
    for number in range(_ROUNDS):
        asked = list(islice(_networks(random.Random(number)), _QUESTIONS))
        for size in _ENTRIES:
            entries = [AllowEntry(one, "bench") for one in islice(_networks(random.Random(-number - 1)), size)]
            built_s, asked_s = _ask(entries, asked)
            builds[size].append(built_s * 1e9 / size)
            questions[size].append(asked_s * 1e9 / _QUESTIONS)
    yield growth("growth_allowlist_entry_ns", "ns", {size: median(costs) for size, costs in builds.items()})
    yield growth("growth_allowlist_question_ns", "ns", {size: median(costs) for size, costs in questions.items()})


def _ask(entries: Sequence[AllowEntry], asked: Sequence[Network]) -> tuple[float, float]:
    """Return the CPU seconds of building a guard and of asking it."""
    gc.collect()  # of what other sizes left
    start_s = time.process_time()
    guard = Guard(entries)
    built_s = time.process_time()
    for network in asked:
        guard.protects(network)
    return built_s - start_s, time.process_time() - built_s


def _networks(source: random.Random) -> Iterator[Network]:
    while True:
        yield network_of(bytes([source.randrange(11, 99)]) + source.randbytes(3), 32)
        yield network_of(b"\x24\x00" + source.randbytes(14), source.choice((48, 56, 64)))


@benchmark("growth_filters_compile_us", "growth_filters_line_ns")
def growth_filters() -> Iterator[Figure]:
    """Read one log with 1 to 1,000 filters: time to compile (µs per filter), and benign lines (ns per line).

    Each filter has two expressions for an application of its own, but for the first, which is that of sshd. The second
    figure is the cost of a line whatever the number of filters, so a constant would be ideal. CPU time; one round.
    """
    compiled, read = {}, {}
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "benign.log"
        with log.open("w") as file:
            file.writelines(benign_lines(_LINES, time.time() - 7200))
        for size in _FILTERS:
            run = scan(log, size - 1)
            compiled[size], read[size] = run.first_s * 1e6 / size, run.cpu_s * 1e9 / run.lines
    yield growth("growth_filters_compile_us", "µs", compiled)
    yield growth("growth_filters_line_ns", "ns", read)


@benchmark("growth_cpus_us")
def growth_cpus() -> Iterator[Figure]:
    """Read the drop counters of a machine with 2 to 512 CPUs (µs per CPU).

    `PerCpuArray.read` over 4,096 counters, of which a hundred are not zero on any CPU; instead of the kernel, a
    function fills the buffer, because this machine has its number of CPUs. CPU time, medians over rounds.
    """
    costs: dict[int, float] = {}
    for cpus in _CPUS:
        runs = []
        with patch.object(maps, "processors", lambda cpus=cpus: cpus), patch.object(maps, "library", _Kernel):
            array = maps.PerCpuArray(0, MapShape("drops", 4, 16, _COUNTERS))
            for _ in range(_ROUNDS):
                start_s = time.process_time()
                found = array.read()
                runs.append((time.process_time() - start_s) * 1e6 / cpus)
                assert len(found) == _COUNTED
        costs[cpus] = median(runs)
    yield growth("growth_cpus_us", "µs", costs)


class _Kernel:
    """Fills the buffer of a look-up in which each hundredth part of the counters has one that is not zero."""

    def bpf_lookup_batch(
        self, _map: int, _from: None, _token: object, _keys: object, values: "ctypes.Array[ctypes.c_uint64]", _n: object
    ) -> int:
        """Return that all is read."""
        stride = len(values) // _COUNTERS
        for counter in range(_COUNTED):
            first = counter * (_COUNTERS // _COUNTED) * stride
            ctypes.memset(ctypes.byref(values, first * 8), 1, stride * 8)
        return 0
