"""Cost of asking the guard about a prefix."""

import random
import time
from collections.abc import Iterator
from statistics import median

from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.bans.guard import Guard
from monitor.model.addresses import Network, network_of
from monitor.model.bans import AllowEntry

_ROUNDS = 5
_ENTRIES = (1_000, 100_000)
_QUERIES = 20_000
_SPOT_CHECKS = 50


@benchmark("guard_prefix_us")
def guard_prefix() -> Iterator[Figure]:
    """Ask `Guard.protects` about IPv6 /64 prefixes, with an allowlist of 100,000 entries (microseconds per question).

    The entries are half IPv4 addresses, half IPv6 networks from /48 to /128; a tenth of the prefixes asked about
    overlaps one. CPU time of one thread, median of five rounds of 20,000 questions. Of 50 prefixes the answer is
    compared with that of every entry in turn. The progress output has the time with 1,000 entries as well. No peer.
    """
    for count in _ENTRIES:
        guard, entries = _guard(count)
        asked = _prefixes(entries)
        _check(guard, asked[:_SPOT_CHECKS])
        spent_us = median(_round_us(guard, asked) for _ in range(_ROUNDS))
        progress(f"{count:,} entries: {spent_us:.2f} µs")
    yield Figure("guard_prefix_us", spent_us, "µs")


def _guard(count: int) -> tuple[Guard, list[Network]]:
    chance = random.Random(count)
    entries = [network_of(bytes([11 + n % 80]) + chance.randbytes(3), 32) for n in range(count // 2)]
    entries += [network_of(b"\x26\x00" + chance.randbytes(14), chance.randint(48, 128)) for _ in range(count // 2)]
    return Guard(AllowEntry(network, "a partner") for network in entries), entries


def _prefixes(entries: list[Network]) -> list[Network]:
    """Return prefixes of which each tenth overlaps an entry."""
    chance = random.Random(1)
    inside = [network for network in entries if len(network.address) == 16]
    return [
        network_of(b"\x26\x00" + chance.randbytes(14) if number % 10 else chance.choice(inside).address, 64)
        for number in range(_QUERIES)
    ]


def _check(guard: Guard, asked: list[Network]) -> None:
    for prefix in asked:
        overlaps = any(entry.network.overlaps(prefix) for entry in guard.entries)
        if overlaps != (guard.protects(prefix) is not None):
            raise BenchmarkError(f"the guard's answer about {prefix} is not that of its entries")


def _round_us(guard: Guard, asked: list[Network]) -> float:
    start_s = time.process_time()
    for prefix in asked:
        guard.protects(prefix)
    return (time.process_time() - start_s) / len(asked) * 1e6
